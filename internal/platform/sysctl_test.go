package platform

import (
	"path/filepath"
	"testing"
)

func TestHostLimitsAreRaisedAndPutBack(t *testing.T) {
	tests := map[string]struct {
		before, raised, changed, after int // changed: by somebody else while the region is up
	}{
		"too low":      {128, 1000, 0, 128},
		"high enough":  {5000, 5000, 0, 5000},
		"changed then": {128, 1000, 2000, 2000},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, record := sysctls{root: dir}, filepath.Join(dir, "record.json")
			limits := map[string]int{"fs.limit": 1000}
			if err := writeFile(s.path("fs.limit"), []byte("0\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			step := func(what string, want int, do func() error) {
				t.Helper()
				if err := do(); err != nil {
					t.Fatal(err)
				}
				if got, err := s.get("fs.limit"); err != nil || got != want {
					t.Errorf("%s: got %d (%v), want %d", what, got, err, want)
				}
			}
			step("before", tt.before, func() error { return s.set("fs.limit", tt.before) })
			step("raise", tt.raised, func() error { return s.raise(limits, record) })
			step("raise again", tt.raised, func() error { return s.raise(limits, record) })
			if tt.changed != 0 {
				step("change", tt.changed, func() error { return s.set("fs.limit", tt.changed) })
			}
			step("restore", tt.after, func() error { return s.restore(limits, record) })
		})
	}
}
