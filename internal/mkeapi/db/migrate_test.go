package db

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"magalu.cloud/mke/internal/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Run(m)) }

// first is the last migration that data of the first release is written under.
const first = 4

// Data survives every migration forward, back and forward again.
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
	if _, err := provider.UpTo(ctx, first); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `
		INSERT INTO clusters (id, tenant_id, name, description, region, version, allowed_cidrs, pods_cidr, services_cidr, vpc_id, subnets, control_plane_flavor,
			control_plane_replicas, state, message, request_hash, changes)
		VALUES ('5d3c1f0e-0000-4000-8000-000000000001', 't', 'c', 'd', 'br-se1', 'v1.34.2', '{}', '192.168.0.0/16', '10.96.0.0/12', 'v', '[]', 'BV2-4-40', 1, 'Running', '', '', 7);
		INSERT INTO node_pools (id, cluster_id, name, flavor, version, initial_replicas, replicas, max_pods, labels, taints, tags, subnets, state, message, request_hash)
		VALUES ('5d3c1f0e-0000-4000-8000-000000000002', '5d3c1f0e-0000-4000-8000-000000000001', 'p', 'BV4-8-40', 'v1.34.2', 1, 1, 110, '{}', '[]', '{}', '[]', 'Running', '', '');
		INSERT INTO operations (id, tenant_id, cluster_id, kind, state, phases)
		VALUES ('5d3c1f0e-0000-4000-8000-000000000003', 't', '5d3c1f0e-0000-4000-8000-000000000001', 'CreateCluster', 'Running', '[]')`); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		var before, after int64
		if err := pool.QueryRow(ctx, "SELECT changes FROM clusters").Scan(&before); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		for _, change := range []string{"UPDATE clusters SET description = 'x'", "UPDATE node_pools SET replicas = 2", "UPDATE operations SET percentage = 5"} {
			if tag, err := pool.Exec(ctx, change); err != nil || tag.RowsAffected() != 1 {
				t.Fatalf("%s: %s: %v %v", when, change, tag, err)
			}
		}
		if err := pool.QueryRow(ctx, "SELECT changes FROM clusters").Scan(&after); err != nil || after <= before {
			t.Fatalf("%s: changes went from %d to %d: %v", when, before, after, err)
		}
		pool.Reset() // prepared statements know the old columns
	}
	check("before")
	if _, err := provider.Up(ctx); err != nil {
		t.Fatal(err)
	}
	pool.Reset()
	check("forward")
	for {
		version, err := provider.GetDBVersion(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if version == first {
			break
		}
		if _, err := provider.Down(ctx); err != nil {
			t.Fatal(err)
		}
		pool.Reset()
		check("back")
	}
	if _, err := provider.Up(ctx); err != nil {
		t.Fatal(err)
	}
	pool.Reset()
	check("forward again")
}
