package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// busybox compiles busybox from Debian's source package, as its authors released it: Debian's own build drops variables
// with dots or dashes in their names, and its wget dies of -T. Linked statically, it runs in an image of its own.
type busybox struct {
	Revision int
	Suite    string
	Options  map[string]bool // where its configuration differs from the default one
}

func (b *busybox) inputs() []*Step   { return nil }
func (b *busybox) sources() []string { return nil }
func (b *busybox) resource() string  { return "debian" }

func (b *busybox) make(ctx context.Context, w *work) error {
	build := filepath.Join(filepath.Dir(w.out), temporary+"source")
	defer os.RemoveAll(build)
	if err := errors.Join(os.RemoveAll(build), os.MkdirAll(build, 0o755)); err != nil {
		return err
	}
	if err := b.download(ctx, w, build); err != nil {
		return err
	}
	tarballs, err := filepath.Glob(filepath.Join(build, "busybox_*.orig.tar.*"))
	if err != nil || len(tarballs) != 1 {
		return errors.Join(fmt.Errorf("debian's source package of busybox has %d archives of its authors, not one", len(tarballs)), err)
	}
	if err := run(command(ctx, w, "tar", "-C", build, "--strip-components=1", "-xf", tarballs[0])); err != nil {
		return err
	}
	if err := b.compile(ctx, w, build); err != nil {
		return err
	}
	root := filepath.Join(w.out, "root")
	bin := filepath.Join(root, "usr/bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	if err := copyExecutable(filepath.Join(build, "busybox"), filepath.Join(bin, "busybox")); err != nil {
		return err
	}
	return linkApplets(ctx, w, root)
}

// download fetches the source package with a configuration of its own: the host's list of sources stays as it is. apt
// checks the package against Debian's signature.
func (b *busybox) download(ctx context.Context, w *work, dir string) error {
	sources := filepath.Join(dir, "sources.list")
	line := "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian " + b.Suite + " main\n"
	if err := os.WriteFile(sources, []byte(line), 0o644); err != nil {
		return err
	}
	for _, sub := range []string{"lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"update"}, {"source", "--download-only", "busybox"}} {
		cmd := command(ctx, w, "apt-get", append([]string{
			"-o", "Dir::Etc::SourceList=" + sources, "-o", "Dir::Etc::SourceParts=/dev/null", "-o", "Dir::State::Lists=" + filepath.Join(dir, "lists"),
			"-o", "Dir::Cache=" + filepath.Join(dir, "cache"), "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=3", "-o", "Acquire::Languages=none",
		}, args...)...)
		cmd.Dir = dir
		if err := run(cmd); err != nil {
			return err
		}
	}
	return nil
}

func (b *busybox) compile(ctx context.Context, w *work, dir string) error {
	if err := run(command(ctx, w, "make", "-C", dir, "defconfig")); err != nil {
		return err
	}
	config := filepath.Join(dir, ".config")
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	for name, on := range b.Options {
		yes, no := "CONFIG_"+name+"=y\n", "# CONFIG_"+name+" is not set\n"
		if on {
			yes, no = no, yes
		}
		text = bytes.ReplaceAll(text, []byte(yes), []byte(no))
	}
	if err := os.WriteFile(config, text, 0o644); err != nil {
		return err
	}
	// Takes the defaults for what these options bring along.
	if err := run(command(ctx, w, "sh", "-c", `yes "" | make -C "$1" oldconfig`, "sh", dir)); err != nil {
		return err
	}
	return run(command(ctx, w, "make", "-C", dir, fmt.Sprintf("-j%d", runtime.NumCPU()), "busybox"))
}
