package iam

import (
	"io/fs"
	"path/filepath"
	"testing"
	"testing/fstest"

	"magalu.cloud/mke/internal/cloud/store"
)

// What an organization had before there were members still works after the upgrade.
func TestUpgradeKeepsKeys(t *testing.T) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	first, err := fs.ReadFile(migrations, "migrations/001_iam.sql")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), "iam", fstest.MapFS{"001_iam.sql": {Data: first}}); err != nil {
		t.Fatal(err)
	}
	const key = "88888888-8888-4888-8888-888888888888"
	for _, statement := range []string{
		`INSERT INTO iam_tenants VALUES ('` + acme + `', 'Acme', '2025')`,
		`INSERT INTO iam_service_accounts VALUES ('sa', '` + acme + `', 'a', 'd', 'a@example.com', '2025')`,
		`INSERT INTO iam_api_keys (id, tenant_id, service_account_id, subject_type, subject, name, description, hash, scopes, start_validity)
			VALUES ('k', '` + acme + `', 'sa', 'service_account', 'sa', 'k', '', '` + hash(key) + `', '["network.read"]', '2025')`,
		`INSERT INTO iam_api_keys (id, tenant_id, subject_type, subject, name, description, hash, scopes, start_validity)
			VALUES ('u', '` + acme + `', 'user', '` + acme + `', 'user', '', '` + hash(acmeKey) + `', '["*"]', '2025')`,
	} {
		if _, err := db.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // a second start changes nothing
		s, err := New(t.Context(), db, issuer)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range []string{key, acmeKey} {
			id, err := s.Authenticate(t.Context(), k)
			if err != nil || id.TenantID != acme || !id.Can("net_vpc_list") || !id.Allows("network.read") {
				t.Errorf("%+v, %v", id, err)
			}
		}
	}
}
