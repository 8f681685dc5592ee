package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/platform/backup"
	"magalu.cloud/mke/internal/progress"
)

// BackupOptions of `mke backup`, `mke restore` and `mke drift`.
type BackupOptions struct {
	DataDir string
	// Kubeconfig of the management cluster; empty for that of the region on this machine.
	Kubeconfig string
	File       string
	Passphrase string
	Version    string
	DryRun     bool
	Progress   io.Writer
}

func (o *BackupOptions) open(ctx context.Context) (*installation, error) {
	if o.Kubeconfig == "" {
		o.Kubeconfig = Paths{Data: o.DataDir}.ManagementKubeconfig()
	}
	return openInstallation(ctx, o.Kubeconfig)
}

// Backup writes everything that the platform knows into one file.
func Backup(ctx context.Context, o BackupOptions) (*backup.Manifest, error) {
	i, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(filepath.Dir(o.File), ".mke-backup-*") // mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	m := &backup.Manifest{CreatedAt: time.Now().UTC().Truncate(time.Second), Version: o.Version, Region: i.region}
	p := progress.New(o.Progress)
	for _, phase := range []struct {
		name string
		work func(context.Context, *progress.Phase) error
	}{
		{"Database", func(ctx context.Context, _ *progress.Phase) error { return i.dumpDatabase(ctx, dir, m) }},
		{"Management cluster", func(ctx context.Context, _ *progress.Phase) (err error) {
			m.Objects, err = backup.DumpObjects(ctx, i.kube, i.clientset.Discovery(), dir)
			return err
		}},
		{"Local cloud", func(ctx context.Context, ph *progress.Phase) error { return o.dumpRegion(ctx, ph, dir) }},
		{"File", func(context.Context, *progress.Phase) error { return backup.Pack(o.File, o.Passphrase, dir, *m) }},
	} {
		if err := p.Run(ctx, phase.name, phase.work); err != nil {
			return nil, fmt.Errorf("%s: %w", phase.name, err)
		}
	}
	return m, nil
}

func (i *installation) dumpDatabase(ctx context.Context, dir string, m *backup.Manifest) error {
	config, stop, err := i.database(ctx)
	if err != nil {
		return err
	}
	defer stop()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if m.Database, err = backup.DumpDatabase(ctx, conn, dir); err != nil {
		return err
	}
	return conn.QueryRow(ctx, "SELECT count(*) FROM clusters WHERE deleted_at IS NULL").Scan(&m.Clusters)
}

// dumpRegion adds what a region on this machine cannot be made again from: the cloud's record, and the keys that all trust is made of.
func (o *BackupOptions) dumpRegion(ctx context.Context, ph *progress.Phase, dir string) error {
	paths := Paths{Data: o.DataDir}
	if _, err := os.Stat(filepath.Join(paths.Cloud(), "cloud.db")); errors.Is(err, os.ErrNotExist) {
		ph.Detail("there is none on this machine")
		return nil
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, exe, "cloud", "snapshot", "--data-dir", o.DataDir, filepath.Join(dir, "cloud.db")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the cloud's record: %s", strings.TrimSpace(string(out)))
	}
	keys, err := os.ReadDir(paths.PKI(""))
	if err != nil {
		return err
	}
	for _, k := range keys {
		data, err := os.ReadFile(paths.PKI(k.Name()))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "pki-"+k.Name()), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// ReadDrift compares the database with the management cluster and the cloud.
func ReadDrift(ctx context.Context, o BackupOptions) (backup.Report, error) {
	i, err := o.open(ctx)
	if err != nil {
		return backup.Report{}, err
	}
	var report backup.Report
	err = i.withStore(ctx, func(store *record.Store) (err error) {
		report, err = i.drift(ctx, store)
		return err
	})
	return report, err
}

func (i *installation) drift(ctx context.Context, store *record.Store) (backup.Report, error) {
	cloud, err := i.cloud(ctx)
	if err != nil {
		return backup.Report{}, err
	}
	return backup.Compare(ctx, store, i.kube, cloud)
}

func (i *installation) withStore(ctx context.Context, f func(*record.Store) error) error {
	config, stop, err := i.database(ctx)
	if err != nil {
		return err
	}
	defer stop()
	poolConfig, err := pgxpool.ParseConfig("")
	if err != nil {
		return err
	}
	poolConfig.ConnConfig = config
	pool, err := pgxpool.NewWithConfig(ctx, poolConfig)
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(record.New(pool))
}
