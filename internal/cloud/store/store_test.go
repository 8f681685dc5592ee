package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestMigrateAppliesEachFileOnce(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "sub", "cloud.db")
	files := fstest.MapFS{"001.sql": {Data: []byte(`CREATE TABLE a (id TEXT PRIMARY KEY) STRICT; INSERT INTO a VALUES ('one');`)}}
	for range 2 {
		db := open(t, path)
		if err := db.Migrate(ctx, "x", files); err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
	}
	files["002.sql"] = &fstest.MapFile{Data: []byte(`INSERT INTO a VALUES ('two'); INSERT INTO nonsense VALUES (1);`)}
	db := open(t, path)
	if err := db.Migrate(ctx, "x", files); err == nil {
		t.Fatal("a broken migration must fail")
	}
	var n int
	if err := db.QueryRowContext(ctx, `SELECT count(*) FROM a`).Scan(&n); err != nil || n != 1 {
		t.Fatalf("got %d rows, %v; a broken migration must leave nothing behind", n, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode of the file: %v, %v", info.Mode(), err)
	}
}

func TestTxRollsBackAndSerializes(t *testing.T) {
	ctx := context.Background()
	db := open(t, filepath.Join(t.TempDir(), "cloud.db"))
	if err := db.Migrate(ctx, "x", fstest.MapFS{"001.sql": {Data: []byte(`CREATE TABLE n (v INTEGER NOT NULL) STRICT; INSERT INTO n VALUES (0);`)}}); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.Exec(`UPDATE n SET v = 100`); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}

	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := db.Tx(ctx, func(tx *sql.Tx) error {
				var v int
				if err := tx.QueryRow(`SELECT v FROM n`).Scan(&v); err != nil {
					return err
				}
				_, err := tx.Exec(`UPDATE n SET v = ?`, v+1)
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var v int
	if err := db.QueryRowContext(ctx, `SELECT v FROM n`).Scan(&v); err != nil || v != 20 {
		t.Fatalf("got %d, %v", v, err)
	}
	if _, err := Count(ctx, db, `DELETE FROM n RETURNING v`); err == nil {
		t.Fatal("reading connections must not write")
	}
}

func TestSnapshot(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	db := open(t, filepath.Join(dir, "cloud.db"))
	if err := db.Migrate(ctx, "x", fstest.MapFS{"001.sql": {Data: []byte(`CREATE TABLE n (v INTEGER NOT NULL) STRICT; INSERT INTO n VALUES (7);`)}}); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "copy.db")
	err := db.Tx(ctx, func(tx *sql.Tx) error { // also while somebody writes
		if _, err := tx.Exec(`UPDATE n SET v = 8`); err != nil {
			return err
		}
		return db.Snapshot(ctx, copied)
	})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := Count(ctx, open(t, copied), `SELECT v FROM n`); err != nil || v != 7 {
		t.Errorf("the copy holds %d, %v", v, err)
	}
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := db.Snapshot(ctx, copied); err == nil {
		t.Error("a file that exists is replaced")
	}
}

func TestTimesSortAsText(t *testing.T) {
	early := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	late := early.Add(time.Microsecond)
	if Format(early) >= Format(late) {
		t.Fatalf("%s must sort before %s", Format(early), Format(late))
	}
	if got, err := Parse(Format(late)); err != nil || !got.Equal(late) {
		t.Fatalf("got %v, %v", got, err)
	}
}
