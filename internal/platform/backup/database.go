package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// migrationsTable is the one table that is not kept: the schema is made anew, by migrations.
const migrationsTable = "goose_db_version"

// Database describes a copy of mke-api's database.
type Database struct {
	Schema    int64            `json:"schema"` // the last migration
	Tables    []Table          `json:"tables"` // those that are referred to first
	Sequences map[string]int64 `json:"sequences"`
}

// Table is a table of the copy; its rows are in the part table-<name>.
type Table struct {
	Name    string   `json:"name"`
	Columns []string `json:"columns"`
	Rows    int64    `json:"rows"`
}

func (t Table) part() string { return "table-" + t.Name }

func (t Table) columns() string {
	quoted := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		quoted[i] = pgx.Identifier{c}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}

// DumpDatabase copies every table as it is at one moment into files in dir.
func DumpDatabase(ctx context.Context, conn *pgx.Conn, dir string) (d Database, err error) {
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, conn, snapshot, func(tx pgx.Tx) (err error) {
		if d, err = inspect(ctx, tx); err != nil {
			return err
		}
		for i := range d.Tables {
			if err := dumpTable(ctx, tx, dir, &d.Tables[i]); err != nil {
				return fmt.Errorf("table %s: %w", d.Tables[i].Name, err)
			}
		}
		return nil
	})
	return d, err
}

func dumpTable(ctx context.Context, tx pgx.Tx, dir string, t *Table) error {
	file, err := os.OpenFile(filepath.Join(dir, t.part()), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	tag, err := tx.Conn().PgConn().CopyTo(ctx, file, "COPY "+pgx.Identifier{t.Name}.Sanitize()+" ("+t.columns()+") TO STDOUT")
	if err != nil {
		return err
	}
	t.Rows = tag.RowsAffected()
	return file.Close()
}

// inspect reads what there is to copy.
func inspect(ctx context.Context, tx pgx.Tx) (d Database, err error) {
	if err := tx.QueryRow(ctx, "SELECT max(version_id) FROM "+migrationsTable+" WHERE is_applied").Scan(&d.Schema); err != nil {
		return d, fmt.Errorf("read the schema's version: %w", err)
	}
	rows, err := tx.Query(ctx, `SELECT c.relname::text, (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''),
		ARRAY(SELECT r.relname::text FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid WHERE f.conrelid = c.oid AND f.contype = 'f' AND r.oid <> c.oid)
		FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname <> $1 ORDER BY c.relname`, migrationsTable)
	if err != nil {
		return d, err
	}
	refers := map[string][]string{}
	var all []Table
	var t Table
	var to []string
	if _, err := pgx.ForEachRow(rows, []any{&t.Name, &t.Columns, &to}, func() error {
		all = append(all, Table{Name: t.Name, Columns: slices.Clone(t.Columns)})
		refers[t.Name] = slices.Clone(to)
		return nil
	}); err != nil {
		return d, err
	}
	if d.Tables, err = inOrder(all, refers); err != nil {
		return d, err
	}
	d.Sequences, err = sequences(ctx, tx)
	return d, err
}

// inOrder puts tables behind those that they refer to.
func inOrder(all []Table, refers map[string][]string) ([]Table, error) {
	placed := map[string]bool{}
	var ordered []Table
	for len(ordered) < len(all) {
		before := len(ordered)
		for _, t := range all {
			waits := slices.ContainsFunc(refers[t.Name], func(to string) bool { return !placed[to] })
			if !placed[t.Name] && !waits {
				placed[t.Name], ordered = true, append(ordered, t)
			}
		}
		if len(ordered) == before {
			return nil, errors.New("the tables refer to each other in a circle")
		}
	}
	return ordered, nil
}

func sequences(ctx context.Context, tx pgx.Tx) (map[string]int64, error) {
	rows, err := tx.Query(ctx, "SELECT sequencename::text, last_value FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL AND sequencename NOT LIKE $1", migrationsTable+"%")
	if err != nil {
		return nil, err
	}
	values := map[string]int64{}
	var name string
	var value int64
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		values[name] = value
		return nil
	})
	return values, err
}

// load fills empty tables of the copy's own schema.
func (d Database) load(ctx context.Context, tx pgx.Tx, dir string) error {
	names := make([]string, len(d.Tables))
	for i, t := range d.Tables {
		names[i] = pgx.Identifier{t.Name}.Sanitize()
	}
	if _, err := tx.Exec(ctx, "TRUNCATE "+strings.Join(names, ", ")); err != nil { // migrations may have filled some
		return err
	}
	for _, t := range d.Tables {
		if err := loadTable(ctx, tx, dir, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	for name, value := range d.Sequences {
		if _, err := tx.Exec(ctx, "SELECT setval($1::text::regclass, $2)", pgx.Identifier{"public", name}.Sanitize(), value); err != nil {
			return fmt.Errorf("sequence %s: %w", name, err)
		}
	}
	return nil
}

func loadTable(ctx context.Context, tx pgx.Tx, dir string, t Table) error {
	file, err := os.Open(filepath.Join(dir, t.part()))
	if err != nil {
		return err
	}
	defer file.Close()
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, file, "COPY "+pgx.Identifier{t.Name}.Sanitize()+" ("+t.columns()+") FROM STDIN")
	if err != nil {
		return err
	}
	if tag.RowsAffected() != t.Rows {
		return fmt.Errorf("%d rows instead of %d", tag.RowsAffected(), t.Rows)
	}
	return nil
}
