package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// debian makes a folder of Debian packages. The variant "minbase" is a system
// that can boot; "extract" only unpacks the packages and what they depend on,
// which is all that a container needs.
type debian struct {
	Revision int
	Suite    string
	Variant  string
	Packages []string
	Commands []string `json:",omitempty"` // run in the installed system
	Drop     []string `json:",omitempty"` // glob patterns of paths to leave out
	Applets  bool     `json:",omitempty"` // links to busybox for every command that is missing
}

func (d *debian) inputs() []*Step   { return nil }
func (d *debian) sources() []string { return nil }
func (d *debian) resource() string  { return "debian" }

func (d *debian) make(ctx context.Context, w *work) error {
	args := []string{
		"--mode=root", "--variant=" + d.Variant, "--include=" + strings.Join(d.Packages, ","),
		"--aptopt=Apt::Install-Recommends false", "--aptopt=Acquire::Retries 3",
		"--dpkgopt=path-exclude=/usr/share/man/*",
		"--dpkgopt=path-exclude=/usr/share/locale/*",
		"--dpkgopt=path-exclude=/usr/share/doc/*",
		"--dpkgopt=path-include=/usr/share/doc/*/copyright",
	}
	if d.Variant == "extract" {
		args = append(args, "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr")
	}
	root := filepath.Join(w.out, "root")
	if err := run(isolated(ctx, w, "mmdebstrap", append(args, d.Suite, root)...)); err != nil {
		return err
	}
	if err := removeGlobs(root, d.Drop); err != nil {
		return err
	}
	if d.Applets {
		if err := linkApplets(ctx, w, root); err != nil {
			return err
		}
	}
	for _, line := range d.Commands {
		if err := run(isolated(ctx, w, "chroot", root, "/bin/sh", "-c", line)); err != nil {
			return err
		}
	}
	return nil
}

func linkApplets(ctx context.Context, w *work, root string) error {
	bin := filepath.Join(root, "usr/bin")
	applets, err := output(command(ctx, w, filepath.Join(bin, "busybox"), "--list"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(applets) {
		if _, err := os.Lstat(filepath.Join(root, "usr/sbin", name)); err == nil {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

func removeGlobs(root string, patterns []string) error {
	for _, pattern := range patterns {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return err
		}
		for _, path := range paths {
			if err := os.RemoveAll(path); err != nil {
				return err
			}
		}
	}
	return nil
}
