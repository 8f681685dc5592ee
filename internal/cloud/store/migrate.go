package store

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"sort"
)

// Migrate brings the tables of one domain up to date: every *.sql file of files
// that was not applied before is applied, in the order of the names, all in one
// transaction. A file that was released must never be changed; add another one.
func (d *DB) Migrate(ctx context.Context, domain string, files fs.FS) error {
	names, err := fs.Glob(files, "*.sql")
	if err != nil {
		return fmt.Errorf("migrate %s: %w", domain, err)
	}
	if len(names) == 0 {
		return fmt.Errorf("migrate %s: no *.sql files", domain)
	}
	sort.Strings(names)
	err = d.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (
			domain TEXT NOT NULL, name TEXT NOT NULL, applied_at TEXT NOT NULL, PRIMARY KEY (domain, name)) STRICT`); err != nil {
			return err
		}
		for _, name := range names {
			if err := apply(ctx, tx, domain, name, files); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("migrate %s: %w", domain, err)
	}
	return nil
}

func apply(ctx context.Context, tx *sql.Tx, domain, name string, files fs.FS) error {
	result, err := tx.ExecContext(ctx, `INSERT INTO schema_migrations (domain, name, applied_at) VALUES (?, ?, ?)
		ON CONFLICT DO NOTHING`, domain, name, Now())
	if err != nil {
		return err
	}
	if added, err := result.RowsAffected(); err != nil || added == 0 {
		return err
	}
	script, err := fs.ReadFile(files, name)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, string(script))
	return err
}
