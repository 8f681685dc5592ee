package db

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"magalu.cloud/mke/internal/testpg"
)

const (
	pageSize    = 100
	manyTenant  = "many"
	manyCluster = "5d3c1f0e-0000-4000-8000-000000000001"
)

// many fills a database, whose clusters' ids must not begin alike, with a tenant's 10,000 clusters, one pool and operation each, one cluster with 1,000 operations more, and as
// many clusters of others.
const many = `
ALTER TABLE clusters DISABLE TRIGGER USER; ALTER TABLE node_pools DISABLE TRIGGER USER; ALTER TABLE operations DISABLE TRIGGER USER;
INSERT INTO clusters (id, tenant_id, name, description, region, version, allowed_cidrs, pods_cidr, services_cidr, vpc_id, subnets, control_plane_flavor,
	control_plane_replicas, state, message, request_hash, created_at)
SELECT CASE n WHEN 1 THEN '` + manyCluster + `' ELSE overlay(gen_random_uuid()::text placing lpad(to_hex(n * 2654435761 % 4294967296), 8, '0') from 1)::uuid END, CASE WHEN n <= 10000 THEN '` + manyTenant + `' ELSE 'other' || n % 100 END, 'c' || n, '', 'br-se1', 'v1.34.2', '{}',
	'192.168.0.0/16', '10.96.0.0/12', 'v', '[]', 'BV2-4-40', 1, 'Running', '', '', now() - make_interval(secs => 20000 - n % 5000)
FROM generate_series(1, 20000) AS n;
INSERT INTO node_pools (id, cluster_id, name, flavor, version, initial_replicas, replicas, max_pods, labels, taints, tags, subnets, state, message, request_hash)
SELECT gen_random_uuid(), id, 'p', 'BV4-8-40', 'v1.34.2', 1, 1, 110, '{}', '[]', '{}', '[]', 'Running', '', '' FROM clusters;
INSERT INTO operations (id, tenant_id, cluster_id, kind, state, phases, created_at, finished_at)
SELECT gen_random_uuid(), tenant_id, id, 'CreateCluster', 'Succeeded', '[]'::jsonb, created_at, now() FROM clusters UNION ALL
SELECT gen_random_uuid(), '` + manyTenant + `', '` + manyCluster + `', 'UpdateCluster', 'Succeeded', '[]'::jsonb, now(), now() FROM generate_series(1, 1000);
VACUUM ANALYZE;`

// manyRecords are 10,000 of a tenant, one in ten of them about one busy cluster and each about an object of its own, and as many of others.
const manyRecords = `
INSERT INTO audit_records (id, at, tenant_id, subject_type, subject, subject_name, key_id, product, operation, method, path, resources, dry_run, address, user_agent,
	request_id, trace_id, status, error, duration_ms)
SELECT gen_random_uuid(), now() - make_interval(secs => n), CASE WHEN n % 2 = 0 THEN '` + manyTenant + `' ELSE 'other' || n % 100 END, 'user', 'u', '', '', 'kubernetes', '', 'POST', '/',
	CASE WHEN n % 20 = 0 THEN ARRAY['busy', 'r' || n] ELSE ARRAY['r' || n] END, false, '', '', '', '', 201, '', 1
FROM generate_series(1, 20000) AS n;
VACUUM ANALYZE audit_records`

// What happened to one object comes from an index, however much its tenant does; so do pages far back. The query is planned with its arguments,
// see record.Store.FindAudit.
func TestAuditComesFromIndexes(t *testing.T) {
	ctx := t.Context()
	conn := migrated(t)
	for _, statement := range append(strings.Split(manyRecords, ";\n"), `SET plan_cache_mode = force_custom_plan`) {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	filtered := func(resource, before string) string {
		return "'many', NULL, NULL, " + before + ", NULL, NULL, NULL, " + resource + ", NULL, NULL, 50"
	}
	const last, back = "NULL, NULL", "now() - interval '18000 seconds', 'ffffffff-ffff-4fff-bfff-ffffffffffff'"
	for name, c := range map[string]struct {
		args string
		most float64 // rows that are read
	}{
		"all":                     {filtered("NULL", last), 150},
		"far back":                {filtered("NULL", back), 150},
		"an object":               {filtered("'r78'", last), 1},
		"another tenant's object": {filtered("'r77'", last), 1},
		"nothing":                 {filtered("'none'", last), 0},
		"a busy object":           {filtered("'busy'", last), 1500},
		"a busy object, far back": {filtered("'busy'", back), 1500},
	} {
		t.Run(name, func(t *testing.T) {
			checkPlan(t, conn, findAuditRecords, c.args).walk(func(p plan) {
				if p.Rows+p.Removed > c.most {
					t.Errorf("%s reads %v rows", p.Kind, p.Rows+p.Removed)
				}
			})
		})
	}
}

// A page costs what is on it and what is before it in an index, never a sort or a scan of all there is.
func TestPagesComeFromIndexes(t *testing.T) {
	ctx := t.Context()
	conn := migrated(t)
	for _, statement := range strings.Split(many, ";\n") { // VACUUM cannot be in a transaction with others
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	for name, query := range map[string]struct{ sql, args string }{
		"first clusters":          {listClusterVersions, "'many', 100, 0"},
		"last clusters":           {listClusterVersions, "'many', 100, 9900"},
		"cluster":                 {getCluster, "'" + manyCluster + "', 'many'"},
		"cluster by name":         {getClusterByName, "'many', 'c7'"},
		"clusters by id":          {listClustersByID, "ARRAY['" + manyCluster + "'::uuid]"},
		"node pools":              {listNodePools, "'" + manyCluster + "'"},
		"first operations":        {listOperations, "'" + manyCluster + "', 100, 0"},
		"last operations":         {listOperations, "'" + manyCluster + "', 100, 900"},
		"open operations":         {listOpenOperations, "'" + manyCluster + "'"},
		"first of all operations": {listTenantOperations, "'many', 100, 0"},
		"last of all operations":  {listTenantOperations, "'many', 100, 9900"},
	} {
		t.Run(name, func(t *testing.T) { checkPlan(t, conn, query.sql, query.args) })
	}
}

// migrated is a connection to a new database.
func migrated(t *testing.T) *pgx.Conn {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), testpg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	return conn.Conn()
}

type plan struct {
	Kind    string  `json:"Node Type"`
	Table   string  `json:"Relation Name"`
	Rows    float64 `json:"Actual Rows"`
	Removed float64 `json:"Rows Removed by Filter"`
	Plans   []plan
}

// checkPlan looks at how a query is carried out when it was often enough for PostgreSQL to choose between its kinds of plans.
func checkPlan(t *testing.T, conn *pgx.Conn, sql, args string) plan {
	t.Helper()
	ctx := t.Context()
	must := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	must("DEALLOCATE ALL")
	must("PREPARE page AS " + sql)
	for range 6 {
		must("EXECUTE page(" + args + ")")
	}
	var raw []byte
	if err := conn.QueryRow(ctx, "EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE page("+args+")", pgx.QueryExecModeSimpleProtocol).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	var explained []struct{ Plan plan }
	if err := json.Unmarshal(raw, &explained); err != nil {
		t.Fatal(err)
	}
	explained[0].Plan.walk(func(p plan) {
		sorted := p.Kind == "Sort" || p.Kind == "Incremental Sort"
		if p.Kind == "Seq Scan" || sorted && p.Plans[0].Rows > pageSize {
			t.Errorf("%s of %s:\n%s", p.Kind, p.Table, raw)
		}
	})
	return explained[0].Plan
}

func (p plan) walk(f func(plan)) {
	f(p)
	for _, below := range p.Plans {
		below.walk(f)
	}
}
