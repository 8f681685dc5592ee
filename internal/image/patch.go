package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// patch replaces a piece of text in a file of a dependency for one build. The text must occur exactly once, so that a new
// version cannot lose a patch silently.
type patch struct {
	Module, File, Old, New string
}

// patched copies the modules to patch below dir, changes the copies, and writes a go.mod that uses them, whose path it
// returns. (The compiler's overlay refuses files of the module cache.)
func (g *goBinaries) patched(ctx context.Context, w *work, dir string) (string, error) {
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return "", err
	}
	modFile := filepath.Join(dir, "go.mod")
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(w.source, g.Dir, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	copies := map[string]string{}
	for _, p := range g.Patches {
		if copies[p.Module] == "" {
			target := filepath.Join(dir, strings.ReplaceAll(p.Module, "/", "-"))
			if err := g.copyModule(ctx, w, p.Module, "", target); err != nil {
				return "", err
			}
			if err := run(g.command(ctx, w, "mod", "edit", "-replace", p.Module+"="+target, modFile)); err != nil {
				return "", err
			}
			copies[p.Module] = target
		}
		if err := p.apply(copies[p.Module]); err != nil {
			return "", err
		}
	}
	return modFile, nil
}

func (p patch) apply(module string) error {
	path := filepath.Join(module, p.File)
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), p.Old); n != 1 {
		return fmt.Errorf("%s of %s has %q %d times, the patch needs it once: look what changed there", p.File, p.Module, p.Old, n)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(text), p.Old, p.New, 1)), 0o644)
}

// copyModule copies a folder of a dependency; the module cache itself is read-only.
func (g *goBinaries) copyModule(ctx context.Context, w *work, module, path, target string) error {
	dir, err := output(g.command(ctx, w, "list", "-m", "-f", "{{.Dir}}", module))
	if err != nil {
		return err
	}
	return run(command(ctx, w, "cp", "-rT", "--no-preserve=mode", filepath.Join(dir, path), target))
}
