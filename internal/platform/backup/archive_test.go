package backup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func init() { workFactor = 10 }

// packed writes a backup of two parts.
func packed(t *testing.T, passphrase string) string {
	t.Helper()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "x.backup")
	for name, text := range map[string]string{"cloud.db": strings.Repeat("record ", 5000), "objects.jsonl": "{}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Pack(file, passphrase, dir, Manifest{CreatedAt: time.Unix(1, 0), Region: "br-se1", Clusters: 3}); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestArchive(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		file := packed(t, passphrase)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		dir := t.TempDir()
		m, err := Unpack(file, passphrase, dir)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "cloud.db")); err != nil || len(text) != 35000 || m.Clusters != 3 || len(m.Parts) != 2 {
			t.Errorf("%d bytes, %+v, %v", len(text), m, err)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
			t.Errorf("beside the backup lies %v", left)
		}
	}
}

func TestEncryption(t *testing.T) {
	file := packed(t, "correct horse")
	raw, err := os.ReadFile(file)
	if err != nil || strings.Contains(string(raw), "record") || strings.Contains(string(raw), "br-se1") {
		t.Errorf("the backup can be read: %v", err)
	}
	for passphrase, want := range map[string]string{"": "--passphrase-file is needed", "wrong": "passphrase does not fit"} {
		if _, err := Unpack(file, passphrase, t.TempDir()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", passphrase, err)
		}
	}
}

// A backup of which anything was lost or changed is refused.
func TestDamage(t *testing.T) {
	for _, passphrase := range []string{"", "correct horse"} {
		raw, err := os.ReadFile(packed(t, passphrase))
		if err != nil {
			t.Fatal(err)
		}
		damaged := map[string][]byte{"empty": {}, "text": []byte("no backup at all"), "half": raw[:len(raw)/2], "short": raw[:len(raw)-1]}
		for _, at := range []int{len(raw) / 3, len(raw) - 6} {
			flipped := append([]byte(nil), raw...)
			flipped[at] ^= 1
			damaged["flipped "+string(rune('a'+at%26))] = flipped
		}
		for name, data := range damaged {
			file := filepath.Join(t.TempDir(), "x.backup")
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Unpack(file, passphrase, t.TempDir()); err == nil {
				t.Errorf("%s (passphrase %q) is taken for a backup", name, passphrase)
			}
		}
	}
}
