package image

import (
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every patch fits the version that this module uses, and what comes out is Go.
func TestClusterAPIPatches(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "sigs.k8s.io/cluster-api").Output()
	if err != nil {
		t.Fatal(err)
	}
	version, module, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if version != clusterAPIVersion {
		t.Fatalf("this module uses %s, the image %s", version, clusterAPIVersion)
	}
	dir := t.TempDir()
	for _, p := range clusterAPIPatches {
		file := filepath.Join(dir, p.File)
		if _, err := os.Stat(file); err != nil {
			text, err := os.ReadFile(filepath.Join(module, p.File))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.apply(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution); err != nil {
			t.Error(err)
		}
	}
}
