package image

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// goBinaries compiles programs of one Go module. Modules under images/ have
// dependency graphs of their own, so that they never meet ours. There is no
// -trimpath: it would change every entry of Go's build cache.
type goBinaries struct {
	Dir       string            // the module, relative to the repository
	Toolchain string            // Go's version and platform
	Packages  map[string]string // binary → package; x.test is the package's test binary
	Tags      string            `json:",omitempty"`
	LDFlags   string            `json:",omitempty"`
	Cgo       bool              `json:",omitempty"` // links statically against the C library
	// Copy takes folders out of a dependency: name → module and path, separated by a space.
	Copy map[string]string `json:",omitempty"`
	// Patches change files of dependencies for this build only.
	Patches []patch `json:",omitempty"`
	// Sources default to the module's folder.
	Sources []string `json:"-"`
}

func (g *goBinaries) inputs() []*Step  { return nil }
func (g *goBinaries) resource() string { return "go" }

func (g *goBinaries) sources() []string {
	if g.Sources != nil {
		return g.Sources
	}
	return []string{g.Dir}
}

func (g *goBinaries) make(ctx context.Context, w *work) error {
	names := make([]string, 0, len(g.Packages))
	for name := range g.Packages {
		names = append(names, name)
	}
	sort.Strings(names)
	var modFile string
	if len(g.Patches) > 0 {
		// The same path every time, or Go's build cache would miss. The next build removes what a killed one leaves.
		dir := filepath.Join(filepath.Dir(w.out), temporary+"patched")
		defer os.RemoveAll(dir)
		var err error
		if modFile, err = g.patched(ctx, w, dir); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := run(g.command(ctx, w, g.buildArgs(filepath.Join(w.out, name), g.Packages[name], modFile)...)); err != nil {
			return err
		}
	}
	for name, from := range g.Copy {
		module, path, _ := strings.Cut(from, " ")
		if err := g.copyModule(ctx, w, module, path, filepath.Join(w.out, name)); err != nil {
			return err
		}
	}
	return nil
}

func (g *goBinaries) buildArgs(out, pkg, modFile string) []string {
	ldflags := "-s -w"
	if g.LDFlags != "" {
		ldflags += " " + g.LDFlags
	}
	if g.Cgo {
		ldflags += " -extldflags -static"
	}
	args := []string{"build", "-buildvcs=false", "-mod=readonly"}
	if strings.HasSuffix(out, ".test") {
		args = []string{"test", "-c", "-vet=off", "-buildvcs=false", "-mod=readonly"}
	}
	if g.Tags != "" {
		args = append(args, "-tags", g.Tags)
	}
	if modFile != "" {
		args = append(args, "-modfile", modFile)
	}
	return append(args, "-ldflags", ldflags, "-o", out, pkg)
}

func (g *goBinaries) command(ctx context.Context, w *work, args ...string) *exec.Cmd {
	cmd := command(ctx, w, "go", args...)
	cmd.Dir = filepath.Join(w.source, g.Dir)
	cgo := "CGO_ENABLED=0"
	if g.Cgo {
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), cgo, "GOWORK=off")
	return cmd
}
