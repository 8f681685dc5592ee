package db

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"magalu.cloud/mke/internal/testpg"
)

func TestUnavailable(t *testing.T) {
	code := func(c string) error { return fmt.Errorf("do: %w", &pgconn.PgError{Code: c}) }
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{code("57P01"), true}, {code("57P03"), true}, {code("08006"), true}, {code("53300"), true}, {code("55P03"), true}, {code("25006"), true},
		{code("23505"), false}, {code("42P01"), false}, {code("22001"), false},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, true}, {io.ErrUnexpectedEOF, true}, {context.DeadlineExceeded, true},
		{context.Canceled, false}, {pgx.ErrNoRows, false}, {errors.New("bug"), false},
	} {
		if Unavailable(tt.err) != tt.want {
			t.Errorf("Unavailable(%v) = %v", tt.err, !tt.want)
		}
	}
}

// A database that takes connections and says nothing is given up in a bounded time.
func TestOpen(t *testing.T) {
	if _, err := Open(t.Context(), "postgres://u:secret@h:x/"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	pool, err := Open(t.Context(), testpg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	for name, want := range limits {
		var got string
		if err := pool.QueryRow(t.Context(), "SELECT current_setting($1)", name).Scan(&got); err != nil || !strings.HasPrefix(name, "tcp_") && normal(got) != normal(want) {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	host, port, _ := net.SplitHostPort(silent.Addr().String())
	away, err := Open(t.Context(), "host="+host+" port="+port+" user=u sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if err := away.Ping(t.Context()); !Unavailable(err) {
		t.Errorf("got %v", err)
	}
}

// normal is a duration as PostgreSQL shows it: a minute is 1min.
func normal(d string) string { return strings.Replace(d, "60s", "1min", 1) }
