package db

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrate brings the schema up to date. Several processes may call it at once; one works, the others wait.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	return MigrateTo(ctx, pool.Config().ConnConfig, Latest())
}

// MigrateTo brings the schema to a version that is not older than its own. Several processes may call it at once.
func MigrateTo(ctx context.Context, config *pgx.ConnConfig, version int64) error {
	// A migration may take longer than what the pool is for.
	config = config.Copy()
	config.Tracer = nil
	config.RuntimeParams["statement_timeout"], config.RuntimeParams["lock_timeout"] = "0", "0"
	conn := stdlib.OpenDB(*config)
	defer conn.Close()
	provider, err := newProvider(conn)
	if err != nil {
		return err
	}
	if _, err := provider.UpTo(ctx, version); err != nil {
		return fmt.Errorf("bring the database's schema to version %d: %w", version, err)
	}
	return nil
}

// Latest is the version of the schema that this program works with.
func Latest() (version int64) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		panic(err) // they are part of the program
	}
	for _, f := range files {
		if v, err := goose.NumericComponent(f.Name()); err == nil {
			version = max(version, v)
		}
	}
	return version
}

func newProvider(conn *sql.DB) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, conn, files, goose.WithSessionLocker(locker))
}
