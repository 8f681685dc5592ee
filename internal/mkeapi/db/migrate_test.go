package db

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"magalu.cloud/mke/internal/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Run(m)) }

// written is what releases have put into the database: each row with the first migration that can hold it, and a change of that row.
var written = []struct {
	since         int64
	write, change string
}{
	{1, `INSERT INTO clusters (id, tenant_id, name, description, region, version, allowed_cidrs, pods_cidr, services_cidr, vpc_id, subnets, control_plane_flavor,
			control_plane_replicas, state, message, request_hash)
		VALUES ('5d3c1f0e-0000-4000-8000-000000000001', 't', 'c', 'd', 'br-se1', 'v1.34.2', '{}', '192.168.0.0/16', '10.96.0.0/12', 'v', '[]', 'BV2-4-40', 1, 'Running', '', '')`,
		`UPDATE clusters SET description = description || 'x'`},
	{1, `INSERT INTO node_pools (id, cluster_id, name, flavor, version, initial_replicas, replicas, max_pods, labels, taints, tags, subnets, state, message, request_hash)
		VALUES ('5d3c1f0e-0000-4000-8000-000000000002', '5d3c1f0e-0000-4000-8000-000000000001', 'p', 'BV4-8-40', 'v1.34.2', 1, 1, 110, '{}', '[]', '{}', '[]', 'Running', '', '')`,
		`UPDATE node_pools SET replicas = replicas + 1`},
	{1, `INSERT INTO operations (id, tenant_id, cluster_id, kind, state, phases)
		VALUES ('5d3c1f0e-0000-4000-8000-000000000003', 't', '5d3c1f0e-0000-4000-8000-000000000001', 'CreateCluster', 'Running', '[]')`,
		`UPDATE operations SET percentage = percentage + 1`},
	{1, `INSERT INTO outbox (cluster_id) VALUES ('5d3c1f0e-0000-4000-8000-000000000001')`, `UPDATE outbox SET generation = generation + 1`},
	{3, ``, `UPDATE clusters SET delete_volumes = NOT delete_volumes`},
	{3, ``, `UPDATE operations SET removed = '[{"kind":"Volume"}]'`},
	{4, ``, `UPDATE clusters SET cni = 'none', addons = '{"metrics-server":{"enabled":true}}'`},
	{5, `INSERT INTO tenant_quotas VALUES ('t', 'nodes', 5)`, `UPDATE tenant_quotas SET maximum = maximum + 1`},
	{6, ``, `UPDATE clusters SET deletion_protection = NOT deletion_protection`},
	{7, `INSERT INTO idempotency_keys (tenant_id, key, request_hash, status, content_type, body) VALUES ('t', 'k', '', 201, '', '')`, `UPDATE idempotency_keys SET status = 200`},
	{8, ``, `UPDATE operations SET moved_at = now()`},
	{9, `INSERT INTO audit_records VALUES ('5d3c1f0e-0000-4000-8000-000000000004', now(), 't', 'user', 'u', 'U', '', 'kubernetes', 'createCluster', 'POST', '/v0/clusters', '{}',
		false, '198.18.0.9', 'mgc', 'r', 't', 201, '', 5)`, `UPDATE audit_records SET duration_ms = duration_ms + 1`},
	{14, ``, `UPDATE node_pools SET live_replicas = 3, replicas_revision = 1, autoscaler = 'waits'`},
}

// migrating is a database with rows in it that goes from migration to migration.
type migrating struct {
	*testing.T
	pool     *pgxpool.Pool
	provider *goose.Provider
}

// Data survives every migration forward, back and forward again, and whatever a release does with it works under its own schema.
func TestMigrationsOnData(t *testing.T) {
	ctx := t.Context()
	pool, err := pgxpool.New(ctx, testpg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	conn := stdlib.OpenDBFromPool(pool)
	defer conn.Close()
	provider, err := newProvider(conn)
	if err != nil {
		t.Fatal(err)
	}
	m := &migrating{t, pool, provider}
	last := provider.ListSources()[len(provider.ListSources())-1].Version
	for m.version() < last {
		m.step(provider.UpByOne)
		for _, w := range written {
			if w.since == m.version() && w.write != "" {
				m.change(w.write)
			}
		}
		m.check("forward")
	}
	for m.version() > 1 {
		m.step(provider.Down)
		m.check("back")
	}
	for m.version() < last {
		m.step(provider.UpByOne)
		m.check("forward again")
	}
	for m.version() > 0 {
		m.step(provider.Down)
	}
	var left []string
	if err := pool.QueryRow(ctx, "SELECT array_agg(relname::text) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'goose%'").Scan(&left); err != nil || left != nil {
		t.Errorf("the way back leaves %v, %v", left, err)
	}
	if _, err := provider.Up(ctx); err != nil {
		t.Error(err)
	}
}

func (m *migrating) version() int64 {
	m.Helper()
	v, err := m.provider.GetDBVersion(m.Context())
	if err != nil {
		m.Fatal(err)
	}
	return v
}

func (m *migrating) step(move func(context.Context) (*goose.MigrationResult, error)) {
	m.Helper()
	if _, err := move(m.Context()); err != nil {
		m.Fatalf("from migration %d: %v", m.version(), err)
	}
	m.pool.Reset() // prepared statements know the old columns
}

func (m *migrating) change(statement string) {
	m.Helper()
	if tag, err := m.pool.Exec(m.Context(), statement); err != nil || tag.RowsAffected() != 1 {
		m.Fatalf("at migration %d: %s: %v %v", m.version(), statement, tag, err)
	}
}

// check changes every row that is there. What was written into a table that came with a migration is gone after the way back over it.
func (m *migrating) check(when string) {
	m.Helper()
	before := m.changes()
	for _, w := range written {
		table := w.since > 1 && w.write != "" // new with that migration
		if w.since <= m.version() && (!table || when != "forward again") {
			m.change(w.change)
		}
	}
	if after := m.changes(); m.version() >= 2 && after <= before {
		m.Fatalf("%s, at migration %d: changes went from %d to %d", when, m.version(), before, after)
	}
}

// changes is the number of the cluster's last change, 0 as long as there are no numbers.
func (m *migrating) changes() (n int64) {
	m.Helper()
	if m.version() < 2 {
		return 0
	}
	if err := m.pool.QueryRow(m.Context(), "SELECT changes FROM clusters").Scan(&n); err != nil {
		m.Fatal(err)
	}
	return n
}
