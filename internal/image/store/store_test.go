package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// makeStore lays out a store as containerd does.
func makeStore(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "key")
	for name, text := range map[string]string{
		"io.containerd.metadata.v1.bolt/meta.db":           "meta",
		snapshots + "/../metadata.db":                      "snapshots",
		blobs + "/aaaa":                                    "blob a",
		blobs + "/bbbb":                                    "blob b",
		snapshots + "/1/fs/usr/bin/program":                "program",
		snapshots + "/1/fs/var/lib/some.db":                "not a database of containerd",
		"io.containerd.content.v1.content/ingest/.keep.db": "",
	} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, empty := range []string{snapshots + "/1/work", snapshots + "/2/fs", snapshots + "/2/work"} {
		if err := os.MkdirAll(filepath.Join(dir, empty), 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCloneStore(t *testing.T) {
	src := makeStore(t)
	dst := filepath.Join(t.TempDir(), "vm", "containerd")
	if err := CloneStore(src, dst); err != nil {
		t.Fatal(err)
	}
	for _, rel := range []string{blobs + "/aaaa", blobs + "/bbbb", snapshots + "/1/fs", snapshots + "/2/fs"} {
		if target, err := os.Readlink(filepath.Join(dst, rel)); err != nil || target != filepath.Join(MountPoint, rel) {
			t.Errorf("%s → %q, %v", rel, target, err)
		}
	}
	for _, rel := range []string{snapshots + "/1/work", snapshots + "/2/work"} {
		if info, err := os.Lstat(filepath.Join(dst, rel)); err != nil || info.Mode() != fs.ModeDir|0o711 {
			t.Errorf("%s: %v, %v", rel, info, err)
		}
	}
	db := filepath.Join(dst, "io.containerd.metadata.v1.bolt/meta.db")
	if err := os.WriteFile(db, []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(src, "io.containerd.metadata.v1.bolt/meta.db")); err != nil || string(text) != "meta" {
		t.Fatalf("a node's database is not its own: %q, %v", text, err)
	}
	if !Held(src) {
		t.Error("the store of a node is not held")
	}
	// Called again, as after a crash of the caller: a live store is left alone.
	if err := CloneStore(src, dst); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(db); err != nil || string(text) != "changed" {
		t.Fatalf("the second call touched the store: %q, %v", text, err)
	}
}

func TestCloneStoreAfterInterruption(t *testing.T) {
	src := makeStore(t)
	dst := filepath.Join(t.TempDir(), "containerd")
	if err := errors.Join(os.MkdirAll(dst, 0o755), os.MkdirAll(filepath.Join(dst+".tmp", blobs), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := CloneStore(src, dst); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Join(dst, blobs, "aaaa")); err != nil {
		t.Fatal(err)
	}
}

func TestCloneStoreRefuses(t *testing.T) {
	strange := makeStore(t)
	if err := os.WriteFile(filepath.Join(strange, "io.containerd.metadata.v1.bolt/strange"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]string{"missing": filepath.Join(t.TempDir(), "none"), "unknown file": strange} {
		dst := filepath.Join(t.TempDir(), "containerd")
		if err := CloneStore(src, dst); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: something was left: %v", name, err)
		}
	}
}

func TestLinkCopy(t *testing.T) {
	src := makeStore(t)
	dst := t.TempDir()
	if err := LinkCopy(src, dst); err != nil {
		t.Fatal(err)
	}
	same := func(rel string) bool {
		a, errA := os.Stat(filepath.Join(src, rel))
		b, errB := os.Stat(filepath.Join(dst, rel))
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		return os.SameFile(a, b)
	}
	for rel, want := range map[string]bool{
		blobs + "/aaaa":                            true,
		snapshots + "/1/fs/usr/bin/program":        true,
		snapshots + "/1/fs/var/lib/some.db":        true,
		"io.containerd.metadata.v1.bolt/meta.db":   false,
		filepath.Join(snapshots, "../metadata.db"): false,
	} {
		if same(rel) != want {
			t.Errorf("%s linked = %v, want %v", rel, !want, want)
		}
	}
}

func TestHold(t *testing.T) {
	dir := t.TempDir()
	artefact := filepath.Join(dir, "key")
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	if Held(artefact) {
		t.Fatal("held by nobody")
	}
	for _, user := range []string{a, b, a} {
		if err := errors.Join(os.MkdirAll(user, 0o755), Hold(artefact, user)); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{a, b} {
		if !Held(artefact) {
			t.Fatalf("not held although %s exists", user)
		}
		if err := os.Remove(user); err != nil {
			t.Fatal(err)
		}
	}
	if Held(artefact) {
		t.Fatal("held although every user is gone")
	}
	if _, err := os.Stat(artefact + usersSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the list of users was left: %v", err)
	}
}
