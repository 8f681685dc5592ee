package cloud

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"magalu.cloud/mke/internal/cloud/store"
)

// written is what releases have put into the record, by the migration that made room for it.
var written = map[string]map[string][]string{
	"compute": {"001_compute.sql": {`compute_instances (id, tenant_id, name, machine_type_id, image_id, image_name, availability_zone, ssh_key_name, ssh_public_key,
		user_data, labels, port_id, desired, status, state, created_at, updated_at) VALUES ('i', 't', 'web', 'm', 'im', 'img', 'z', 'k', 'ssh', '', '[]', 'p', 'running', 'completed', 'running', '1', '2')`},
		"004_quotas.sql": {`compute_quotas VALUES ('t', 5)`}},
	"iam": {
		"001_iam.sql": {`iam_tenants VALUES ('t', 'Acme', '1')`, `iam_service_accounts VALUES ('sa', 't', 'a', 'd', 'a@example.com', '1')`,
			`iam_api_keys (id, tenant_id, service_account_id, subject_type, subject, name, description, hash, scopes, start_validity)
				VALUES ('k', 't', 'sa', 'service_account', 'sa', 'k', '', 'h', '["*"]', '1')`},
		"002_people.sql": {`iam_users VALUES ('u', 'u@example.com', 'U', '', '1')`, `iam_members VALUES ('t', 'u', 'owner', '1')`, `iam_roles VALUES ('t', 'r', '', '[]')`,
			`iam_groups VALUES ('g', 't', 'g', '', 'g@example.com', '1')`, `iam_group_members VALUES ('g', 'u', 'member', '1')`, `iam_grants VALUES ('t', 'u', 'role', 'r')`,
			`iam_access_control VALUES ('t', 'a', '', 1)`},
		"003_oauth.sql": {`iam_signing_keys VALUES ('s', 'p', '1')`, `iam_auth_requests (id, request, browser, expires_at) VALUES ('a', '{}', 'b', '2')`,
			`iam_tokens VALUES ('tk', 't', 'user', 'u', '', '[]', '2')`},
		"004_refresh_tokens.sql": {`iam_refresh_tokens VALUES ('h', 'f', 't', 'u', 'c', '[]', '1', 0, '2')`},
		"005_audit.sql":          {`iam_audit_records VALUES (1, '{}')`},
	},
	"loadbalancer": {"001_loadbalancer.sql": {`lb_load_balancers (id, tenant_id, vpc_id, name, status, document, created_at, updated_at) VALUES ('l', 't', 'v', 'l', 'running', '{}', '1', '2')`}},
	"network": {"001_network.sql": {`network_vpcs (id, tenant_id, name, edge_address, status, created_at, updated_at) VALUES ('v', 't', 'v', '198.18.0.2', 'created', '1', '2')`,
		`network_pools (id, tenant_id, name, cidr, created_at) VALUES ('pl', 't', 'pl', '172.16.0.0/16', '1')`, `network_pool_bookings VALUES ('pl', '172.16.0.0/20')`,
		`network_subnets (id, vpc_id, name, cidr, zone, created_at, updated_at) VALUES ('s', 'v', 's', '172.16.0.0/20', 'z', '1', '2')`,
		`network_ports (id, tenant_id, vpc_id, subnet_id, name, address, created_at, updated_at) VALUES ('p', 't', 'v', 's', 'p', '172.16.0.5', '1', '2')`,
		`network_groups (id, tenant_id, name, created_at, updated_at) VALUES ('g', 't', 'g', '1', '2')`,
		`network_rules (id, group_id, direction, ethertype, created_at) VALUES ('r', 'g', 'ingress', 'IPv4', '1')`, `network_port_groups VALUES ('p', 'g')`,
		`network_public_ips (id, tenant_id, vpc_id, address, port_id, created_at, updated_at) VALUES ('ip', 't', 'v', '198.18.0.9', 'p', '1', '2')`,
		`network_routes (id, vpc_id, port_id, cidr, created_at) VALUES ('rt', 'v', 'p', '10.0.0.0/8', '1')`, `network_cursor VALUES ('c', '198.18.0.9')`}},
	"profile": {"001_profile.sql": {`profile_ssh_keys VALUES ('k', 't', 'n', 'ssh', 'ed25519', '1')`}},
	"volume": {
		"001_volumes.sql": {`volume_volumes (id, tenant_id, name, size, type_id, availability_zone, state, status, created_at, updated_at) VALUES ('vo', 't', 'vo', 10, 'ty', 'z', 'available', 'completed', '1', '2')`,
			`volume_snapshots (id, tenant_id, name, description, volume_id, type, size, availability_zone, state, status, created_at, updated_at)
				VALUES ('sn', 't', 'sn', '', 'vo', 'instant', 10, 'z', 'available', 'completed', '1', '2')`},
		"002_schedulers.sql": {`volume_schedulers VALUES ('sc', 't', 'sc', '', 'instant', 7, '03:00:00', '1', '2')`, `volume_scheduled VALUES ('sc', 'vo', '1')`},
	},
}

// Rows survive every migration that came after them, of every product, with all that they held.
func TestMigrationsOnData(t *testing.T) {
	folders, err := filepath.Glob("*/migrations")
	if err != nil || len(folders) == 0 {
		t.Fatal(folders, err)
	}
	for _, folder := range folders {
		domain := filepath.Dir(folder)
		t.Run(domain, func(t *testing.T) { migrate(t, domain, folder) })
	}
}

func migrate(t *testing.T, domain, folder string) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names, err := fs.Glob(os.DirFS(folder), "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	files, before := fstest.MapFS{}, map[string]string{}
	for _, name := range names {
		script, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: script}
		if err := db.Migrate(t.Context(), domain, files); err != nil {
			t.Fatal(err)
		}
		for table, row := range before {
			if after := rowOf(t, db, table); !strings.HasPrefix(after, row) {
				t.Errorf("%s: a row of %s was %s and is %s", name, table, row, after)
			}
		}
		for _, row := range written[domain][name] {
			if _, err := db.Exec(t.Context(), "INSERT INTO "+row); err != nil {
				t.Fatalf("after %s: %s: %v", name, row, err)
			}
			table, _, _ := strings.Cut(row, " ")
			before[table] = rowOf(t, db, table)
		}
	}
	if tables, err := store.Count(t.Context(), db, `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('schema_migrations', 'sqlite_sequence')`); err != nil || tables != len(before) {
		t.Errorf("there are %d tables and rows for %d: %v", tables, len(before), err)
	}
	if broken, err := store.Count(t.Context(), db, `SELECT count(*) FROM pragma_foreign_key_check`); err != nil || broken != 0 {
		t.Errorf("%d broken references: %v", broken, err)
	}
}

// rowOf is the one row of a table, as text; what a migration adds comes last.
func rowOf(t *testing.T, db *store.DB, table string) string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil || !rows.Next() {
		t.Fatalf("%s has no row: %v, %v", table, err, rows.Err())
	}
	values, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := errors.Join(rows.Scan(into...), rows.Err()); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for i, column := range columns {
		fmt.Fprintf(&text, "%s=%v ", column, values[i])
	}
	return text.String()
}
