package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReferenceIsUpToDate also finds pages of commands that are gone.
func TestReferenceIsUpToDate(t *testing.T) {
	want := pages()
	for name, text := range want {
		got, err := os.ReadFile(filepath.Join("../../../docs", name))
		if err != nil || string(got) != text {
			t.Errorf("docs/%s is not what the commands say; run go generate ./internal/cli (%v)", name, err)
		}
	}
	files, err := filepath.Glob("../../../docs/cli/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if want["cli/"+filepath.Base(file)] == "" {
			t.Errorf("%s is of no command", file)
		}
	}
}

func TestManual(t *testing.T) {
	dir := t.TempDir()
	if err := writeManual(dir); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, "mgc-virtual-machine-instances-create.1"))
	if err != nil || !strings.Contains(string(page), "machine-type.name") {
		t.Errorf("%v: %s", err, page)
	}
}
