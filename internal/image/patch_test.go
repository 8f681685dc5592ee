package image

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPatchAppliesExactlyOnce(t *testing.T) {
	for text, want := range map[string]string{
		"wait = 30 // seconds": "wait = 1 // seconds",
		"delay = 30":           "",
		"wait = 30; wait = 30": "",
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "wait.go")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := patch{Module: "m", File: "wait.go", Old: "wait = 30", New: "wait = 1"}.apply(dir)
		if (err == nil) != (want != "") {
			t.Errorf("%q: error %v", text, err)
		}
		if want == "" {
			want = text
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}
