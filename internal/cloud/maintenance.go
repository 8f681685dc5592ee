package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/compute/container"
	"magalu.cloud/mke/internal/cloud/compute/hollow"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/volume/loop"
	imagestore "magalu.cloud/mke/internal/image/store"
)

// netnsDir is where iproute2 keeps named network namespaces.
const netnsDir = "/run/netns"

func newDriver(dataDir, prefix string) (*container.Driver, error) {
	return container.New(container.Options{
		Dir: vmsDir(dataDir), Runc: localImages{dataDir}.runc, CloneStore: imagestore.CloneStore, Hold: imagestore.Hold,
		Prefix: prefix + "-vm-", CgroupParent: prefix,
	})
}

// newTeardownCommand returns `mke cloud teardown`, which `mke down` runs.
func newTeardownCommand() *cobra.Command {
	var dataDir, prefix string
	cmd := &cobra.Command{
		Use:   "teardown",
		Short: "Remove every VM, block device, load balancer and network of this machine's region",
		Long: `Removes what a daemon that does not run any more left on the machine: VMs, block devices of volumes, load balancers and networks,
found by their names and not by the record, so that it also works when that is lost. The data of volumes stays in the data folder.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return Teardown(cmd.Context(), dataDir, prefix) },
	}
	maintenanceFlags(cmd, &dataDir, &prefix)
	return cmd
}

func maintenanceFlags(cmd *cobra.Command, dataDir, prefix *string) {
	cmd.Flags().StringVar(dataDir, "data-dir", cmp.Or(os.Getenv("MKE_DATA_DIR"), defaultDataDir), "folder of all state (env MKE_DATA_DIR)")
	cmd.Flags().StringVar(prefix, "prefix", "mke", "prefix of names in the kernel")
}

// Teardown removes everything with the prefix from the machine.
func Teardown(ctx context.Context, dataDir, prefix string) error {
	driver, err := newDriver(dataDir, prefix)
	if err != nil {
		return err
	}
	if err := driver.Teardown(ctx); err != nil {
		return err
	}
	if err := hollow.New(hollowDir(dataDir), slog.Default()).Teardown(ctx); err != nil {
		return err
	}
	disks, err := loop.New(filepath.Join(dataDir, "cloud"))
	if err != nil {
		return err
	}
	if err := disks.Teardown(ctx); err != nil {
		return err
	}
	if err := killInNamespaces(prefix + "-"); err != nil {
		return err
	}
	return network.Teardown(ctx, network.Config{
		Prefix: prefix, PublicPool: netip.MustParsePrefix("198.18.0.0/16"), EdgeAddress: netip.MustParseAddr("198.18.0.1"),
	})
}

// killInNamespaces ends the processes in network namespaces of ours, such as load balancers.
func killInNamespaces(prefix string) error {
	ours := map[uint64]bool{}
	entries, err := os.ReadDir(netnsDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if inode, err := inodeOf(filepath.Join(netnsDir, e.Name())); err == nil && strings.HasPrefix(e.Name(), prefix) {
			ours[inode] = true
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return err
	}
	for _, path := range processes {
		inode, err := inodeOf(path)
		if err != nil || !ours[inode] {
			continue // ended meanwhile, or not ours
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/ns/net", &pid); err != nil {
			return err
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end process %d: %w", pid, err)
		}
	}
	return nil
}

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	err := unix.Stat(path, &st)
	return st.Ino, err
}

// newExecCommand returns `mke cloud exec`.
func newExecCommand() *cobra.Command {
	var dataDir, prefix string
	cmd := &cobra.Command{
		Use:     "exec INSTANCE -- PROGRAM [ARGUMENT...]",
		Short:   "Run a program as root inside a VM, given by id or name",
		Example: `  mke cloud exec mke-management -- journalctl -u kubelet`,
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			driver, err := newDriver(dataDir, prefix)
			if err != nil {
				return err
			}
			id, err := findInstance(cmd.Context(), dataDir, args[0])
			if err != nil {
				return err
			}
			return driver.Exec(cmd.Context(), id, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), args[1:]...)
		},
	}
	maintenanceFlags(cmd, &dataDir, &prefix)
	return cmd
}

// findInstance looks an instance up in the record, by id or by name.
func findInstance(ctx context.Context, dataDir, instance string) (string, error) {
	db, err := store.Open(ctx, filepath.Join(dataDir, "cloud", "cloud.db"))
	if err != nil {
		return "", err
	}
	defer db.Close()
	ids, err := store.Rows(ctx, db, store.Text, `SELECT id FROM compute_instances WHERE id = ?1 OR name = ?1`, instance)
	if err != nil {
		return "", err
	}
	if len(ids) != 1 {
		return "", fmt.Errorf("%d instances are called %q: give an id from the instance list", len(ids), instance)
	}
	return ids[0], nil
}

// newSnapshotCommand copies the record of a cloud that may be running.
func newSnapshotCommand() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:    "snapshot FILE",
		Short:  "Copy the cloud's record, as it is at one moment, into a new file",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := filepath.Join(dataDir, "cloud", "cloud.db")
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("there is no cloud in %s", dataDir)
			}
			db, err := store.Open(cmd.Context(), path)
			if err != nil {
				return err
			}
			defer db.Close()
			return db.Snapshot(cmd.Context(), args[0])
		},
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", defaultDataDir, "folder of all state")
	return cmd
}
