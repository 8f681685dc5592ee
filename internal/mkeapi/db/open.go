package db

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// How long a database is waited for that does not answer. Our statements take milliseconds; a client would rather be told soon that it
// may try again.
const (
	connectTimeout   = 3 * time.Second
	pingTimeout      = 2 * time.Second
	acquireTimeout   = 4 * time.Second
	statementTimeout = 8 * time.Second
)

// minConns is the least that the pool may grow to: requests with an Idempotency-Key hold one connection while they use another.
const minConns = 16

// limits are what the server ends by itself, so that a replica that has died or lost its network holds no lock for long.
var limits = map[string]string{
	"application_name":                    "mke-api",
	"statement_timeout":                   "7s",
	"lock_timeout":                        "5s",
	"idle_in_transaction_session_timeout": "60s",
	"tcp_keepalives_idle":                 "10",
	"tcp_keepalives_interval":             "5",
	"tcp_keepalives_count":                "3",
	"tcp_user_timeout":                    "20000",
}

// Open returns a pool of connections to the database. It does not wait for the database. An error does not quote the URL, which may
// hold a password.
func Open(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("not a PostgreSQL connection string")
	}
	config.MaxConns = max(config.MaxConns, minConns)
	config.PingTimeout = pingTimeout
	c := config.ConnConfig
	if c.ConnectTimeout == 0 || c.ConnectTimeout > connectTimeout {
		c.ConnectTimeout = connectTimeout
	}
	for name, value := range limits {
		if c.RuntimeParams[name] == "" {
			c.RuntimeParams[name] = value
		}
	}
	c.OnPgError = func(_ *pgconn.PgConn, e *pgconn.PgError) bool {
		return !strings.EqualFold(e.Severity, "FATAL") && e.Code != readOnly // look for the new primary
	}
	c.Tracer = patience{}
	return pgxpool.NewWithConfig(ctx, config)
}

// patience bounds the wait for a connection and for every statement: a database whose machine has vanished never answers, and pgx has
// no setting for that. What a tracer returns is the context that pgx works with.
type patience struct{}

type cancelKey struct{}

func bound(ctx context.Context, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(ctx, d)
	return context.WithValue(ctx, cancelKey{}, cancel)
}

func unbound(ctx context.Context) {
	if cancel, ok := ctx.Value(cancelKey{}).(context.CancelFunc); ok {
		cancel()
	}
}

func (patience) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return bound(ctx, statementTimeout)
}

func (patience) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	unbound(ctx)
}

func (patience) TraceAcquireStart(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireStartData) context.Context {
	return bound(ctx, acquireTimeout)
}

func (patience) TraceAcquireEnd(ctx context.Context, _ *pgxpool.Pool, _ pgxpool.TraceAcquireEndData) {
	unbound(ctx)
}

const readOnly = "25006"

// passing are codes, or classes of codes, of errors that do not come from what was asked.
var passing = []string{
	"08",                    // connection exceptions
	"53",                    // insufficient resources
	"57P", "57014", "55000", // shutting down, starting up, statement timeout, no connections allowed
	"55P03", "40001", "40P01", // lock timeout, serialization failure, deadlock
	"25P03", readOnly, // idle for too long in a transaction; a primary that is none any more
	"3D000", // the database is just being put in place, by a restore
}

// Unavailable says whether an error comes from a database that is away or overloaded, so that the same may go well later.
func Unavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		for _, code := range passing {
			if strings.HasPrefix(pg.Code, code) {
				return true
			}
		}
		return false
	}
	var network net.Error
	var connect *pgconn.ConnectError
	return errors.As(err, &network) || errors.As(err, &connect) || pgconn.SafeToRetry(err) || pgconn.Timeout(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}
