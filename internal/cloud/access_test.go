package cloud

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/iam"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/openapi"
)

// publishedAs is the name of the published document of each product.
var publishedAs = map[string]string{"kubernetes": "kubernetes", "compute": "virtual-machine", "volume": "block-storage", "network": "network",
	"load-balancer": "load-balancer", "iam": "iam", "profile": "profile"}

// unlike are the operations whose scopes are not as published, and why.
var unlike = map[string]string{
	"iam GET /api/v1/healthcheck":  "its scope iam.read exists nowhere else: iam:read is meant",
	"iam POST /api/v1/admins/sync": "it names no scope, and answers 501",
}

func TestAccessIsAsPublished(t *testing.T) {
	for product, name := range publishedAs {
		doc := contracttest.Document(t, name)
		if doc == nil {
			continue
		}
		for path, item := range doc.Paths.Map() {
			for method, want := range item.Operations() {
				key := product + " " + method + " " + path
				i := slices.IndexFunc(access.Operations(), func(o access.Operation) bool {
					return o.Product == product && o.Method == method && o.Path == path
				})
				if i < 0 {
					t.Errorf("%s is not in the table", key)
					continue
				}
				got := access.Operations()[i]
				if p := permissionOf(want); p != "" && p != got.Permission {
					t.Errorf("%s: permission %s, published is %s", key, got.Permission, p)
				}
				if scopes := scopesOf(want); unlike[key] == "" && !slices.Equal(scopes, got.Scopes) {
					t.Errorf("%s: scopes %v, published are %v", key, got.Scopes, scopes)
				}
			}
		}
	}
}

func permissionOf(o *openapi3.Operation) string {
	if name, ok := o.Extensions["x-permission-name"].(string); ok {
		return name
	}
	permission, _ := o.Extensions["x-permission"].(map[string]any)
	name, _ := permission["permission-name"].(string)
	return name
}

func scopesOf(o *openapi3.Operation) []string {
	if o.Security != nil {
		for _, requirement := range *o.Security {
			for _, scopes := range requirement {
				return scopes
			}
		}
	}
	return nil
}

// Every route must be in the table, or nobody would ask what it needs.
func TestEveryRouteIsInTheTable(t *testing.T) {
	handler, _ := newHandlers(t)
	err := chi.Walk(handler.(chi.Routes), func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		product, path, _ := strings.Cut(strings.TrimPrefix(strings.ReplaceAll(route, "/*/", "/"), "/"), "/")
		wildcard := strings.HasSuffix(route, "*") // answers 501
		_, known := access.Find(product, method, "/"+path)
		internal := strings.HasPrefix(path, "internal/")
		public := openapi.IsPublic("/"+path) || product == "iam" && (strings.HasPrefix(path, "oauth/") || strings.HasPrefix(path, ".well-known/"))
		notOffered := method == "CONNECT" || method == "OPTIONS" || method == "TRACE"
		if !known && !wildcard && !internal && !public && !notOffered && product != "healthz" && !answersNotImplemented(handler, method, route) {
			t.Errorf("%s %s is not in internal/access/operations.txt", method, route)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func answersNotImplemented(handler http.Handler, method, route string) bool {
	return ask(handler, method, parameters.ReplaceAllString(route, unknownID), acmeKey, "").Code == http.StatusNotImplemented
}

const unknownID = "99999999-9999-4999-8999-999999999999"

var parameters = regexp.MustCompile(`\{[a-z_]+\}`)

// matrix is a cloud with every kind of caller.
type matrix struct {
	t      *testing.T
	db     *store.DB
	public http.Handler
}

func newMatrix(t *testing.T) matrix {
	t.Helper()
	o := options(t)
	o.Bootstrap.Tenants = append(o.Bootstrap.Tenants, iam.BootstrapTenant{ID: stranger, Name: "Stranger", APIKey: strangerKey})
	writeImages(t, o.DataDir)
	db, err := store.Open(t.Context(), o.dir("cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := newServices(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return matrix{t: t, db: db, public: handlerOf(t, s, o, false)}
}

const (
	stranger    = "55555555-5555-4555-8555-555555555555"
	strangerKey = "66666666-6666-4666-8666-666666666666"
)

// create returns the member field of the answer to a POST of Acme.
func (m matrix) create(path, body, field string) string {
	m.t.Helper()
	rec := ask(m.public, "POST", path, acmeKey, body)
	value := regexp.MustCompile(`"` + field + `":"([^"]+)"`).FindStringSubmatch(rec.Body.String())
	if rec.Code/100 != 2 || value == nil {
		m.t.Fatalf("POST %s: %d %s", path, rec.Code, rec.Body)
	}
	return value[1]
}

func (m matrix) exec(statement string, args ...any) {
	m.t.Helper()
	if _, err := m.db.Exec(m.t.Context(), statement, args...); err != nil {
		m.t.Fatal(err)
	}
}

const accounts = "/iam/api/v1/service-accounts"

func TestAuthorizationMatrix(t *testing.T) {
	m := newMatrix(t)
	account := m.create(accounts, `{"name":"matrix","description":"d","email":"matrix@example.com"}`, "uuid")
	keys := accounts + "/" + account + "/api-keys"
	revoked := m.create(keys, `{"name":"revoked"}`, "api_key")
	m.exec(`UPDATE iam_api_keys SET revoked_at = ? WHERE name = 'revoked'`, store.Now())
	expired := m.create(keys, `{"name":"expired","end_validity":"2099-01-01T00:00:00Z"}`, "api_key")
	m.exec(`UPDATE iam_api_keys SET end_validity = ? WHERE name = 'expired'`, store.Format(time.Now().Add(-time.Second)))
	scoped := m.create(keys, `{"name":"scoped"}`, "api_key")

	member := m.create("/iam/api/v1/members", `{"email":"maria@example.com"}`, "uuid")
	person := m.create(keys, `{"name":"person"}`, "api_key")
	m.exec(`UPDATE iam_api_keys SET subject_type = 'user', subject = ?, scopes = '["*"]' WHERE name = 'person'`, member)
	m.create("/iam/api/v1/access-control", `{"name":"strict"}`, "tenant_id")

	for _, o := range access.Operations() {
		if o.Product == "kubernetes" {
			continue // the gateway's matter
		}
		path := "/" + o.Product + parameters.ReplaceAllString(o.Path, unknownID)
		for who, key := range map[string]string{"no key": "", "wrong key": uuid.NewString(), "revoked key": revoked, "expired key": expired} {
			if rec := ask(m.public, o.Method, path, key, "{}"); rec.Code != 401 {
				t.Errorf("%s %s, %s: %d %s", o.Method, path, who, rec.Code, rec.Body)
			}
		}
		for i, scope := range o.Scopes {
			others := slices.Delete(slices.Clone(o.Scopes), i, i+1)
			m.exec(`UPDATE iam_api_keys SET scopes = ? WHERE name = 'scoped'`, `["`+strings.Join(others, `","`)+`"]`)
			if rec := ask(m.public, o.Method, path, scoped, "{}"); rec.Code != 403 || !strings.Contains(rec.Body.String(), scope) {
				t.Errorf("%s %s, without %s: %d %s", o.Method, path, scope, rec.Code, rec.Body)
			}
		}
		if rec := ask(m.public, o.Method, path, person, "{}"); rec.Code != 403 || !strings.Contains(rec.Body.String(), o.Permission) {
			t.Errorf("%s %s, without permission: %d %s", o.Method, path, rec.Code, rec.Body)
		}
		m.exec(`INSERT INTO iam_grants (tenant_id, subject, kind, name) VALUES (?, ?, 'permission', ?)`, acme, member, o.Permission)
		if o.Method == "GET" {
			if rec := ask(m.public, o.Method, path, person, ""); rec.Code == 401 || rec.Code == 403 || rec.Code == 500 {
				t.Errorf("%s %s, with permission: %d %s", o.Method, path, rec.Code, rec.Body)
			}
		}
		m.exec(`DELETE FROM iam_grants`)
	}
}

// Nobody sees, changes or removes what belongs to another organization, nor learns that it exists.
func TestAnotherTenantsObjectsAreNotFound(t *testing.T) {
	m := newMatrix(t)
	account := m.create(accounts, `{"name":"a","description":"d","email":"a@example.com"}`, "uuid")
	group := m.create("/iam/api/v1/groups", `{"identifier":"sre","name":"SRE"}`, "id")
	member := m.create("/iam/api/v1/members", `{"email":"maria@example.com"}`, "uuid")
	vpc := m.create("/network/v1/vpcs", `{"name":"a"}`, "id")
	ids := map[string]string{
		"{sa_uuid}": account, "{group_id}": group, "{member_id}": member, "iam {uuid}": member,
		"{apikey_uuid}": m.create(accounts+"/"+account+"/api-keys", `{"name":"k"}`, "uuid"),
		"{role_name}":   m.create("/iam/api/v1/roles", `{"name":"auditor"}`, "name"),
		"{vpc_id}":      vpc, "network {id}": vpc,
		"{security_group_id}": m.create("/network/v0/security_groups", `{"name":"matrix"}`, "id"),
		"{subnetpool_id}":     m.create("/network/v0/subnetpools", `{"name":"a","description":"d","cidr":"172.20.0.0/16"}`, "id"),
		"{key_id}":            m.create("/profile/v0/ssh-keys", `{"name":"a","key":"ssh-ed25519 AAAA"}`, "id"),
		"volume {id}":         m.create("/volume/v1/volumes", `{"name":"vol-a","size":10,"type":{"name":"cloud_nvme1k"}}`, "id"),
	}
	var tried int
	for _, o := range access.Operations() {
		if o.Product == "kubernetes" || !strings.Contains(o.Path, "{") || strings.Contains(o.Path, "nat_gateways") {
			continue
		}
		real := false
		path := parameters.ReplaceAllStringFunc(o.Path, func(name string) string {
			for _, key := range []string{o.Product + " " + name, name} {
				if id := ids[key]; id != "" {
					real = true
					return id
				}
			}
			return unknownID
		})
		if real {
			tried++
		}
		rec := ask(m.public, o.Method, "/"+o.Product+path, strangerKey, "{}")
		bodyFirst := o.Method != "GET" && o.Method != "DELETE" && (rec.Code == 400 || rec.Code == 422) // a body that says nothing
		if rec.Code != 404 && rec.Code != 501 && !bodyFirst {
			t.Errorf("%s /%s%s: %d %s", o.Method, o.Product, path, rec.Code, rec.Body)
		}
	}
	if tried < 40 {
		t.Errorf("only %d operations met a real object", tried)
	}
	for _, path := range []string{"/network/v0/vpcs/" + vpc, "/iam/api/v1/groups/" + group, accounts + "/" + account + "/api-keys",
		"/profile/v0/ssh-keys/" + ids["{key_id}"], "/volume/v1/volumes/" + ids["volume {id}"], "/iam/api/v1/roles/auditor/permissions"} {
		if rec := ask(m.public, "GET", path, acmeKey, ""); rec.Code != 200 {
			t.Errorf("afterwards %s: %d %s", path, rec.Code, rec.Body)
		}
	}
}
