package backup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"magalu.cloud/mke/internal/mkeapi/db"
)

// swapTimeout bounds the moment in which nobody can use the database.
const swapTimeout = 30 * time.Second

// RestoreDatabase loads a copy beside the database, brings its schema up to date, and puts it in the old one's place, which is kept under
// another name. Until then nothing changes; whoever is connected loses the connection. It may be run again wherever it has died.
func RestoreDatabase(ctx context.Context, config *pgx.ConnConfig, dir string, d Database, at time.Time) (kept string, err error) {
	name := config.Database
	loading, kept := name+"_restoring", name+"_before_"+at.UTC().Format("20060102150405")
	admin, err := connect(ctx, config, "postgres")
	if err != nil {
		return "", err
	}
	defer admin.Close(context.WithoutCancel(ctx))
	for _, statement := range []string{"DROP DATABASE IF EXISTS " + quote(loading) + " WITH (FORCE)", "CREATE DATABASE " + quote(loading) + " TEMPLATE template0"} {
		if _, err := admin.Exec(ctx, statement); err != nil {
			return "", fmt.Errorf("make a database beside %s: %w", name, err)
		}
	}
	if err := fill(ctx, config, loading, dir, d); err != nil {
		return "", fmt.Errorf("load the copy: %w", err)
	}
	return kept, swap(ctx, admin, name, loading, kept)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func connect(ctx context.Context, config *pgx.ConnConfig, database string) (*pgx.Conn, error) {
	config = config.Copy()
	config.Database = database
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database %s: %w", database, err)
	}
	return conn, nil
}

// fill makes the copy's own schema, loads it, and migrates it like any old database.
func fill(ctx context.Context, config *pgx.ConnConfig, database, dir string, d Database) error {
	config = config.Copy()
	config.Database = database
	if err := db.MigrateTo(ctx, config, d.Schema); err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return d.load(ctx, tx, dir) }); err != nil {
		return err
	}
	if err := db.MigrateTo(ctx, config, db.Latest()); err != nil {
		return err
	}
	// What waited to be carried to the management cluster is old now and might shrink what has grown since. The drift report shows it.
	_, err = conn.Exec(ctx, "DELETE FROM outbox")
	return err
}

// swap renames both databases in one transaction, when nobody is connected to them.
func swap(ctx context.Context, admin *pgx.Conn, name, loading, kept string) error {
	ctx, cancel := context.WithTimeout(ctx, swapTimeout)
	defer cancel()
	allow := func(ctx context.Context, database string, yes bool) error {
		_, err := admin.Exec(ctx, fmt.Sprintf("ALTER DATABASE %s WITH ALLOW_CONNECTIONS %t", quote(database), yes))
		return err
	}
	if err := allow(ctx, name, false); err != nil {
		return err
	}
	err := disconnect(ctx, admin, name, loading)
	if err == nil {
		err = pgx.BeginFunc(ctx, admin, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "ALTER DATABASE "+quote(name)+" RENAME TO "+quote(kept))
			if err == nil {
				_, err = tx.Exec(ctx, "ALTER DATABASE "+quote(loading)+" RENAME TO "+quote(name))
			}
			return err
		})
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), swapTimeout)
	defer cancel()
	if err != nil {
		return errors.Join(fmt.Errorf("put the copy in place: %w", err), allow(after, name, true))
	}
	return allow(after, kept, true)
}

// disconnect ends all sessions of the databases and waits until they have.
func disconnect(ctx context.Context, admin *pgx.Conn, databases ...string) error {
	for {
		var sessions int
		err := admin.QueryRow(ctx, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = ANY($1)", databases).Scan(&sessions)
		if err != nil || sessions == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
