package cloud

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"magalu.cloud/mke/internal/cloud/iam"
	"magalu.cloud/mke/internal/cloud/store"
)

// newSetPasswordCommand returns `mke cloud set-password`.
func newSetPasswordCommand() *cobra.Command {
	var dataDir, prefix, organization string
	cmd := &cobra.Command{
		Use:   "set-password EMAIL",
		Short: "Let a person sign in with the password that is typed, or comes on standard input",
		Example: `  mke cloud set-password maria@example.com --organization default
  mke cloud set-password maria@example.com < password-file`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return setPassword(cmd.Context(), dataDir, args[0], organization, password)
		},
	}
	maintenanceFlags(cmd, &dataDir, &prefix)
	cmd.Flags().StringVar(&organization, "organization", "", "id or name of the organization that the person becomes an owner of; needed for a new person")
	return cmd
}

// readPassword asks a person, without showing what they type, or takes the first line of a file or pipe.
func readPassword(in io.Reader, out io.Writer) (string, error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		fmt.Fprint(out, "Password: ")
		password, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(out)
		return string(password), err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// setPassword works beside the daemon: both use the same database.
func setPassword(ctx context.Context, dataDir, email, organization, password string) error {
	path := filepath.Join(dataDir, "cloud", "cloud.db")
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("there is no cloud in %s: start it first", dataDir)
	}
	db, err := store.Open(ctx, path)
	if err != nil {
		return err
	}
	defer db.Close()
	service, err := iam.New(ctx, db, Options{Listen: "localhost", Region: "local"}.issuer()) // it issues nothing here
	if err != nil {
		return err
	}
	return service.SetPassword(ctx, email, organization, password)
}
