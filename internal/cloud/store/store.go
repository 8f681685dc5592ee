// Package store keeps the local cloud's state in one SQLite file.
//
// There is one connection that writes and a few that read. A write transaction
// therefore never fails with "database is locked", and a reader never waits for
// a writer. The file survives kill -9 of the daemon at any moment; what was
// committed in the last instants before a power failure may be lost.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// ErrNotFound is what lookups return when no row matches.
var ErrNotFound = errors.New("not found")

// Queryer is what *sql.Tx and *DB have in common for reading. Functions that
// only read take it, so that they work inside and outside of a transaction.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// DB is the daemon's database. Its query methods read committed state.
type DB struct {
	write *sql.DB
	read  *sql.DB
}

// Open opens the database file at path and makes it, mode 0600, where it does not exist.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}

	db := &DB{}
	if db.write, err = connect(ctx, path, 1, url.Values{"_txlock": {"immediate"}}); err != nil {
		return nil, err
	}
	if db.read, err = connect(ctx, path, 4, url.Values{"_pragma": {"query_only(1)"}}); err != nil {
		return nil, errors.Join(err, db.write.Close())
	}
	return db, nil
}

func connect(ctx context.Context, path string, conns int, params url.Values) (*sql.DB, error) {
	for _, pragma := range []string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)"} {
		params.Add("_pragma", pragma)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?"+params.Encode())
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(0)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), db.Close())
	}
	return db, nil
}

// Close closes the database.
func (d *DB) Close() error { return errors.Join(d.read.Close(), d.write.Close()) }

// Tx runs fn in the one write transaction there can be at a time and commits
// when fn returns nil. Do nothing slow in fn, and never call Tx inside of Tx:
// hand the *sql.Tx on instead.
func (d *DB) Tx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// Exec runs one statement in a transaction of its own and returns the number of rows it changed.
func (d *DB) Exec(ctx context.Context, query string, args ...any) (int64, error) {
	result, err := d.write.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// Snapshot copies the database as it is at one moment into a new file, mode 0600. Nobody has to wait for it.
func (d *DB) Snapshot(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL, 0o600) // an empty file is as good as none
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	conn, err := d.read.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// It only reads, but SQLite takes it for a change.
	if _, err := conn.ExecContext(ctx, "PRAGMA query_only(0)"); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "VACUUM INTO ?", path)
	_, reset := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA query_only(1)")
	return errors.Join(err, reset)
}

// QueryContext reads committed state.
func (d *DB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return d.read.QueryContext(ctx, query, args...)
}

// QueryRowContext reads committed state.
func (d *DB) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return d.read.QueryRowContext(ctx, query, args...)
}

// timeLayout sorts as text in the order of time.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Now returns the current time in the form in which every domain stores times:
// RFC 3339, UTC, microseconds. It sorts as text.
func Now() string { return Format(time.Now()) }

// Format returns t in the form of Now.
func Format(t time.Time) string { return t.UTC().Format(timeLayout) }

// Parse reads a time written by Now or Format; the zero time for an empty string.
func Parse(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.Parse(timeLayout, s)
}
