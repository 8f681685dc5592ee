package platform

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"magalu.cloud/mke/internal/progress"
)

// DownOptions of `mke down`.
type DownOptions struct {
	DataDir string
	// Purge removes caches too, that is the whole data folder.
	Purge bool
	Out   io.Writer
}

// Down removes the region from the machine: processes, mounts, namespaces, links, tables, cgroups and its state.
// Caches stay. It works on what is found by name, so it also cleans up after runs that were killed.
func Down(ctx context.Context, o DownOptions) error {
	if err := checkRoot(); err != nil {
		return err
	}
	paths := Paths{Data: o.DataDir}
	unlock, err := lock(paths)
	if err != nil {
		return err
	}
	defer unlock()
	printer := progress.New(o.Out)
	if err := printer.Run(ctx, "Stop the local cloud", func(ctx context.Context, _ *progress.Phase) error {
		return (daemon{paths: paths}).stop(ctx)
	}); err != nil {
		return err
	}
	if err := printer.Run(ctx, "Remove VMs, load balancers and networks", func(ctx context.Context, _ *progress.Phase) error {
		return teardownCloud(ctx, paths)
	}); err != nil {
		return err
	}
	return printer.Run(ctx, "Restore host limits, remove state", func(context.Context, *progress.Phase) error {
		if err := (sysctls{root: "/proc/sys"}).restore(hostLimits, paths.HostLimits()); err != nil {
			return err
		}
		return removeState(paths, o.Purge)
	})
}

// teardownCloud lets the local cloud's own code remove what it made; this package knows only the command.
func teardownCloud(ctx context.Context, p Paths) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, exe, "cloud", "teardown", "--data-dir", p.Data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot remove everything, run `mke down` again; it said:\n%s", lastLines(out, 10))
	}
	return nil
}

// removeState removes all but the caches and the lock that this run holds.
func removeState(p Paths, purge bool) error {
	if purge {
		return os.RemoveAll(p.Data)
	}
	entries, err := os.ReadDir(p.Data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "cache" || e.Name() == filepath.Base(p.Lock()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(p.Data, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
