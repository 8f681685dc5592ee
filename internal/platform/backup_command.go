package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/platform/backup"
)

// backupFlags are what the three commands have in common.
type backupFlags struct {
	BackupOptions
	passphraseFile, format string
}

func (f *backupFlags) register(cmd *cobra.Command) {
	dataDirFlag(cmd, &f.DataDir)
	cmd.Flags().StringVar(&f.Kubeconfig, "management-kubeconfig", "", "management cluster of the platform; empty for the region on this machine")
	cmd.Flags().StringVarP(&f.format, "output", "o", "table", "table or json")
}

func (f *backupFlags) registerPassphrase(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.passphraseFile, "passphrase-file", "", "file with the passphrase that the backup is encrypted with")
}

// prepare checks the flags. Progress goes to stderr, so that stdout holds the result only.
func (f *backupFlags) prepare(cmd *cobra.Command) error {
	if f.format != "table" && f.format != "json" {
		return fmt.Errorf("--output %q: choose table or json", f.format)
	}
	f.Progress = cmd.ErrOrStderr()
	if f.passphraseFile == "" {
		return nil
	}
	text, err := os.ReadFile(f.passphraseFile)
	if err != nil {
		return fmt.Errorf("--passphrase-file: %w", err)
	}
	if f.Passphrase = strings.TrimRight(string(text), "\r\n"); f.Passphrase == "" {
		return errors.New("--passphrase-file: the file is empty")
	}
	return nil
}

// print writes a result as JSON, or as table does.
func (f *backupFlags) print(cmd *cobra.Command, result any, table func(io.Writer)) error {
	if f.format == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(result)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	table(w)
	return w.Flush()
}

func newBackup(version string) *cobra.Command {
	f := &backupFlags{}
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Write everything that the platform knows into one file",
		Long: `Write everything that the platform knows into one file: mke-api's database, the objects and Secrets of customers' clusters in the
management cluster, and of a region on this machine the cloud's record and the keys. The file holds secrets: it is readable by its
owner only, and --passphrase-file encrypts it. The platform goes on meanwhile.

What is inside of volumes and of customers' clusters is not part of it.`,
		Example: `  mke backup
  mke backup --file /backups/mke.backup --passphrase-file /root/passphrase`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.prepare(cmd); err != nil {
				return err
			}
			if f.Version = version; f.File == "" {
				f.File = "mke-" + time.Now().UTC().Format("20060102-150405") + ".backup"
			}
			m, err := Backup(cmd.Context(), f.BackupOptions)
			if err != nil {
				return err
			}
			result := struct {
				File string `json:"file"`
				*backup.Manifest
			}{f.File, m}
			return f.print(cmd, result, func(w io.Writer) {
				fmt.Fprintf(w, "File\t%s\nRegion\t%s\nClusters\t%d\nObjects\t%d\nSchema\t%d\n", f.File, m.Region, m.Clusters, m.Objects, m.Database.Schema)
			})
		},
	}
	f.register(cmd)
	f.registerPassphrase(cmd)
	cmd.Flags().StringVar(&f.File, "file", "", "where to write it (default mke-<time>.backup in this folder)")
	return cmd
}

func newRestore() *cobra.Command {
	f := &backupFlags{}
	var extract string
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup back into the platform, and say what differs then",
		Long: `Put a backup back into an installed platform, and say what differs then. The whole file is checked before anything is changed.

mke-api's database becomes the backup's; the former one is kept under another name. Objects of clusters that are gone from the
management cluster are made again; what exists stays as it is. Nothing is deleted, here or in the cloud: what the database, the
management cluster and the cloud have that the others have not is reported.`,
		Example: `  mke restore mke.backup --dry-run
  mke restore mke.backup --passphrase-file /root/passphrase
  mke restore mke.backup --extract /root/parts`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.prepare(cmd); err != nil {
				return err
			}
			if f.File = args[0]; extract != "" {
				return extractParts(f.File, f.Passphrase, extract)
			}
			r, err := Restore(cmd.Context(), f.BackupOptions)
			if err != nil {
				return err
			}
			return f.print(cmd, r, r.table)
		},
	}
	f.register(cmd)
	f.registerPassphrase(cmd)
	cmd.Flags().BoolVar(&f.DryRun, "dry-run", false, "check the backup, say what would be done, and change nothing")
	cmd.Flags().StringVar(&extract, "extract", "", "only check the backup and put its parts into this new folder")
	return cmd
}

func extractParts(file, passphrase, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("--extract: %w", err)
	}
	_, err := backup.Unpack(file, passphrase, dir)
	return err
}

func newDrift() *cobra.Command {
	f := &backupFlags{}
	cmd := &cobra.Command{
		Use:   "drift",
		Short: "Compare the database, the management cluster and the cloud",
		Long:  "Compare the database, the management cluster and the cloud, and say what one has and the others have not. Nothing is changed.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.prepare(cmd); err != nil {
				return err
			}
			report, err := ReadDrift(cmd.Context(), f.BackupOptions)
			if err != nil {
				return err
			}
			return f.print(cmd, report, func(w io.Writer) { driftTable(w, &report) })
		},
	}
	f.register(cmd)
	return cmd
}

func (r *Restoration) table(w io.Writer) {
	done := "was"
	if r.DryRun {
		done = "would be"
		fmt.Fprintln(w, "Nothing was changed.")
	}
	fmt.Fprintf(w, "Backup\tof %s, region %s, mke %s, schema %d\n", r.Backup.CreatedAt.Format(time.RFC3339), r.Backup.Region, r.Backup.Version, r.Backup.Database.Schema)
	fmt.Fprintf(w, "Database\t%s replaced: %d clusters\n", done, r.Backup.Clusters)
	if r.Database != "" {
		fmt.Fprintf(w, "Former database\tkept as %s\n", r.Database)
	}
	fmt.Fprintf(w, "Objects\t%d made, %d exist and stay, %d left to their controllers\n", r.Objects.Created, r.Objects.Kept, r.Objects.Left)
	if r.Report != nil {
		driftTable(w, r.Report)
	}
}

func driftTable(w io.Writer, r *backup.Report) {
	if len(r.Drift) == 0 {
		fmt.Fprintf(w, "No drift in %d clusters.\n", r.Clusters)
		return
	}
	fmt.Fprintf(w, "%d differences in %d clusters:\nPROBLEM\tKIND\tCLUSTER\tNAME\tDETAIL\n", len(r.Drift), r.Clusters)
	for _, d := range r.Drift {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Problem, d.Kind, d.Cluster, d.Name, d.Detail)
	}
}
