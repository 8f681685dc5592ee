package compute

import (
	"context"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/fstest"

	"magalu.cloud/mke/internal/cloud/store"
)

// A region that was made before instances could be suspended keeps them.
func TestOlderRowsAreKept(t *testing.T) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	older := fstest.MapFS{}
	for _, name := range []string{"001_compute.sql", "002_hostname.sql"} {
		script, err := fs.ReadFile(migrations, "migrations/"+name)
		if err != nil {
			t.Fatal(err)
		}
		older[name] = &fstest.MapFile{Data: script}
	}
	if err := db.Migrate(t.Context(), "compute", older); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(t.Context(), `INSERT INTO compute_instances (`+columns+`) VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 't', 'Web', 'm', 'im', 'img', 'br-se1-a', 'key', 'ssh', 'dQ==',
		'["a"]', 'p', 'running', '', 1, 'completed', 'running', '', '', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z', 'web')`); err != nil {
		t.Fatal(err)
	}
	m := newMachine()
	if _, err := New(context.Background(), db, Config{Zones: []string{"br-se1-a"}, Driver: fakeDriver{m}, Network: fakeNetwork{m}, Volumes: fakeVolumes{m},
		Images: fakeImages{}, SSHKeys: fakeKeys{}, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	i, err := Find(t.Context(), db, "aaaaaaaa-0000-4000-8000-000000000001")
	if err != nil || i.Name != "Web" || i.Desired != desiredRunning || i.Hostname != "web" || !i.DeletePublicIP || i.UpdatedAt != "2026-01-02T00:00:00Z" || i.Labels[0] != "a" {
		t.Errorf("got %+v, %v", i, err)
	}
	if _, err := db.Exec(t.Context(), `UPDATE compute_instances SET desired = 'suspended'`); err != nil {
		t.Error(err)
	}
}
