package image

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCurrent(t *testing.T) {
	named := func(kind, name string) *Step {
		return &Step{Kind: kind, Name: name, Version: "v1", recipe: &fake{Text: kind + name}}
	}
	b := newBuilder(t, named("bin", "runc"), named("bin", "etcd"), named("node", "node"), named("store", "customer"), named("store", "management"))
	if _, err := Node(b.DataDir); err == nil || !strings.Contains(err.Error(), "mke image build") {
		t.Fatalf("without a build: %v", err)
	}
	build(t, b, "runc", "node", "customer")
	node, err := Node(b.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{node.RootFS, node.Stores["customer"], filepath.Dir(node.RuncPath)} {
		if _, err := os.Stat(filepath.Join(path, "file")); err != nil {
			t.Error(err)
		}
	}
	if node.Version != "v1" || node.Stores["management"] != "" {
		t.Errorf("node %+v", node)
	}
	build(t, b, "management")
	after, err := Node(b.DataDir)
	if err != nil || after.Stores["management"] == "" || after.RootFS != node.RootFS {
		t.Errorf("after another build: %+v, %v", after, err)
	}
}

func TestInstallTools(t *testing.T) {
	dataDir, binDir := t.TempDir(), filepath.Join(t.TempDir(), "bin")
	program := filepath.Join(dataDir, "program")
	write := func(text string) {
		t.Helper()
		err := errors.Join(os.RemoveAll(program), os.WriteFile(program, []byte(text), 0o755), os.MkdirAll(filepath.Dir(currentFile(dataDir)), 0o755),
			writeJSON(currentFile(dataDir), current{Tools: map[string]string{"kubectl": program}}))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"one", "two", "two"} {
		write(version)
		if err := InstallTools(dataDir, binDir); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(binDir, "kubectl")); err != nil || string(text) != version {
			t.Fatalf("kubectl is %q, %v, want %q", text, err, version)
		}
	}
	if names, err := os.ReadDir(binDir); err != nil || len(names) != 1 {
		t.Fatalf("in the folder: %v, %v", names, err)
	}
}
