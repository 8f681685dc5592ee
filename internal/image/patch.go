package image

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// patch replaces a piece of text in a file of a dependency for one build. The dependency itself stays untouched: the compiler
// sees the changed file through an overlay. The text must occur exactly once, so that a new version cannot lose a patch silently.
type patch struct {
	Module, File, Old, New string
}

// overlay writes the changed files below dir and returns the compiler's description of them.
func (g *goBinaries) overlay(ctx context.Context, w *work, dir string) (string, error) {
	replace := map[string]string{}
	for i, p := range g.Patches {
		module, err := output(g.command(ctx, w, "list", "-m", "-f", "{{.Dir}}", p.Module))
		if err != nil {
			return "", err
		}
		original := filepath.Join(module, p.File)
		text, err := os.ReadFile(original)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(text), p.Old); n != 1 {
			return "", fmt.Errorf("%s of %s has %q %d times, the patch needs it once: look what changed there", p.File, p.Module, p.Old, n)
		}
		changed := filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), p.Old, p.New, 1)), 0o644); err != nil {
			return "", err
		}
		replace[original] = changed
	}
	description, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, description, 0o644)
}
