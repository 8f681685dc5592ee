package iam

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	platformKey = "11111111-1111-4111-8111-111111111111"
	acme        = "22222222-2222-4222-8222-222222222222"
	acmeKey     = "33333333-3333-4333-8333-333333333333"
	other       = "44444444-4444-4444-8444-444444444444"
	otherKey    = "55555555-5555-4555-8555-555555555555"
)

var bootstrap = Bootstrap{PlatformAPIKey: platformKey, Tenants: []BootstrapTenant{
	{ID: acme, Name: "Acme", APIKey: acmeKey}, {ID: other, Name: "Other", APIKey: otherKey}}}

const issuer = "https://198.18.0.1:8443/br-se1/iam"

type fixture struct {
	t        *testing.T
	service  *Service
	api      http.Handler
	contract contracttest.Checker
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := New(t.Context(), db, issuer)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ApplyBootstrap(t.Context(), bootstrap); err != nil {
		t.Fatal(err)
	}
	router := chi.NewRouter()
	router.Route("/iam", s.RegisterPublic)
	router.Group(func(r chi.Router) {
		r.Use(httpapi.Authenticate(s, httpapi.SlugMessageOrigin), httpapi.Authorize("iam", httpapi.SlugMessageOrigin))
		s.Register(r)
	})
	return &fixture{t: t, service: s, api: router, contract: contracttest.Load(t, "iam")}
}

func (f *fixture) do(key, method, path, body string, want int, out any, headers ...string) {
	f.t.Helper()
	rec := f.answer(key, method, path, body, headers...)
	if rec.Code != want {
		f.t.Fatalf("%s %s: got %d, want %d: %s", method, path, rec.Code, want, rec.Body)
	}
	if path, _, _ := strings.Cut(path, "?"); strings.HasPrefix(path, "/api") {
		f.contract.Check(f.t, method, path, rec.Code, rec.Body.Bytes())
	}
	if out != nil {
		if err := json.Unmarshal(rec.Body.Bytes(), out); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) answer(key, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("X-Api-Key", key)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	if strings.HasPrefix(path, "/api") {
		req = f.contract.Watch(f.t, req)
	}
	f.api.ServeHTTP(rec, req)
	return rec
}

const accounts = "/api/v1/service-accounts"

func (f *fixture) account() accountView {
	f.t.Helper()
	var a accountView
	f.do(acmeKey, "POST", accounts, `{"name":"mke-1","description":"d","email":"mke-1@example.com"}`, 201, &a)
	return a
}

func TestServiceAccountsAndKeys(t *testing.T) {
	f := newFixture(t)
	a := f.account()
	if a.Tenant.UUID != acme || a.Tenant.LegalName != "Acme" || a.Name != "mke-1" {
		t.Errorf("got %+v", a)
	}
	var list []accountView
	f.do(acmeKey, "GET", accounts+"?name=mke-1", "", 200, &list)
	f.do(acmeKey, "PATCH", accounts+"/"+a.UUID, `{"description":"new"}`, 200, &a)
	if a.Description != "new" || a.Name != "mke-1" {
		t.Errorf("got %+v", a)
	}
	f.do(acmeKey, "GET", accounts+"?name=nobody", "", 200, &list)
	if len(list) != 0 {
		t.Errorf("filtered list: %v", list)
	}

	keys := accounts + "/" + a.UUID + "/api-keys"
	var key, again keyView
	f.do(acmeKey, "POST", keys, `{"name":"k","scopes":["network.read"]}`, 201, &key)
	if key.APIKey == nil || *key.APIKey == key.UUID {
		t.Fatalf("got %+v", key)
	}
	id, err := f.service.Authenticate(t.Context(), *key.APIKey)
	if err != nil || id.TenantID != acme || id.Subject != a.UUID || id.SubjectType != "service_account" || id.Platform ||
		!id.Allows("network.read") || id.Allows("network.write") {
		t.Errorf("identity %+v, %v", id, err)
	}
	f.do(acmeKey, "PATCH", keys+"/"+key.UUID, `{"name":"k2"}`, 200, &again)
	if again.APIKey != nil || again.Name != "k2" || len(again.Scopes) != 1 {
		t.Errorf("a key must be shown only once, scopes stay: %+v", again)
	}
	f.do(acmeKey, "DELETE", keys+"/"+key.UUID, "null", 204, nil)
	f.do(acmeKey, "DELETE", keys+"/"+key.UUID, "", 204, nil)
	if _, err := f.service.Authenticate(t.Context(), *key.APIKey); !errors.Is(err, httpapi.ErrUnknownKey) {
		t.Errorf("a revoked key: %v", err)
	}
	for status, want := range map[string]int{"active": 0, "revoked": 1} {
		var got []keyView
		if f.do(acmeKey, "GET", keys+"?status="+status, "", 200, &got); len(got) != want {
			t.Errorf("%d keys are %s, want %d", len(got), status, want)
		}
	}

	f.do(acmeKey, "POST", keys, `{"name":"k3","scopes":["network.read"]}`, 201, &key)
	f.do(acmeKey, "DELETE", accounts+"/"+a.UUID, "", 204, nil)
	if _, err := f.service.Authenticate(t.Context(), *key.APIKey); !errors.Is(err, httpapi.ErrUnknownKey) {
		t.Errorf("the key of a deleted account: %v", err)
	}
	f.do(acmeKey, "DELETE", accounts+"/"+a.UUID, "", 404, nil)
}

func TestKeysAreNotStored(t *testing.T) {
	f := newFixture(t)
	var n int
	err := f.service.db.QueryRowContext(t.Context(), `SELECT count(*) FROM iam_api_keys WHERE hash IN (?, ?)`, acmeKey, platformKey).Scan(&n)
	if err != nil || n != 0 {
		t.Fatalf("%d keys are in the database as they are, %v", n, err)
	}
}

func TestForeignTenant(t *testing.T) {
	f := newFixture(t)
	a := f.account()
	path := accounts + "/" + a.UUID
	var key keyView
	f.do(acmeKey, "POST", path+"/api-keys", `{"name":"k"}`, 201, &key)
	f.do(otherKey, "PATCH", path, `{"name":"x"}`, 404, nil)
	f.do(otherKey, "DELETE", path, "", 404, nil)
	f.do(otherKey, "GET", path+"/api-keys", "", 404, nil)
	f.do(otherKey, "POST", path+"/api-keys", `{"name":"x"}`, 404, nil)
	f.do(otherKey, "PATCH", path+"/api-keys/"+key.UUID, `{"name":"x"}`, 404, nil)
	f.do(otherKey, "DELETE", path+"/api-keys/"+key.UUID, "", 404, nil)
	f.do(otherKey, "GET", accounts, "", 200, nil, "x-tenant-id", acme) // the header counts for the platform only
	var list []accountView
	f.do(otherKey, "GET", accounts, "", 200, &list, "x-tenant-id", acme)
	if len(list) != 0 {
		t.Error("a user became another tenant by a header")
	}
	f.do(platformKey, "GET", accounts, "", 200, &list, "x-tenant-id", acme)
	if len(list) != 1 {
		t.Error("the platform must be able to act for a tenant")
	}
	f.do(platformKey, "POST", accounts, `{"name":"a","description":"","email":"a@b.c"}`, 404, nil, "x-tenant-id", "66666666-6666-4666-8666-666666666666")
}

func TestRefusals(t *testing.T) {
	f := newFixture(t)
	a := f.account()
	keys := accounts + "/" + a.UUID + "/api-keys"
	f.do("", "GET", accounts, "", 401, nil)
	f.do("nonsense", "GET", accounts, "", 401, nil)
	f.do(acmeKey, "POST", accounts, `{}`, 422, nil)
	f.do(acmeKey, "POST", accounts, `{"name":"a","description":"","email":"no"}`, 422, nil)
	f.do(acmeKey, "POST", keys, `{"name":"k","scopes":["everything"]}`, 422, nil)
	f.do(acmeKey, "POST", keys, `{"name":"k","scopes":["*"]}`, 422, nil)
	f.do(acmeKey, "GET", keys+"?status=x", "", 422, nil)
	f.do(acmeKey, "GET", "/api/v1/scopes", "", 200, nil)

	var weak keyView
	f.do(acmeKey, "POST", keys, `{"name":"k","scopes":["iam:read","iam:write"]}`, 201, &weak)
	f.do(*weak.APIKey, "POST", keys, `{"name":"k","scopes":["network.write"]}`, 403, nil) // nobody gives what they do not have
	f.do(acmeKey, "POST", keys, `{"name":"k"}`, 201, &weak)
	f.do(*weak.APIKey, "GET", accounts, "", 403, nil)
}

func TestIntrospection(t *testing.T) {
	f := newFixture(t)
	const path = "/internal/v1/introspect"
	var got introspection
	f.do(platformKey, "POST", path, `{"api_key":"`+acmeKey+`"}`, 200, &got)
	if !got.Active || got.TenantID != acme || got.SubjectType != "user" {
		t.Errorf("got %+v", got)
	}
	got = introspection{}
	f.do(platformKey, "POST", path, `{"api_key":"x"}`, 200, &got)
	if got.Active || got.TenantID != "" {
		t.Errorf("got %+v", got)
	}
	f.do(acmeKey, "POST", path, `{"api_key":"`+otherKey+`"}`, 404, nil)
}

func TestBootstrapIsAppliedAgain(t *testing.T) {
	f := newFixture(t)
	changed := bootstrap
	changed.Tenants = []BootstrapTenant{{ID: acme, Name: "Acme Ltda", APIKey: "77777777-7777-4777-8777-777777777777"}}
	for range 2 {
		if err := f.service.ApplyBootstrap(context.Background(), changed); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.service.Authenticate(t.Context(), acmeKey); !errors.Is(err, httpapi.ErrUnknownKey) {
		t.Errorf("the replaced key: %v", err)
	}
	if _, err := f.service.Authenticate(t.Context(), otherKey); err != nil {
		t.Errorf("a tenant that is not mentioned keeps its key: %v", err)
	}
	if err := f.service.ApplyBootstrap(t.Context(), Bootstrap{PlatformAPIKey: "x"}); err == nil {
		t.Error("a key that is no UUID must be refused")
	}
}

func TestValidity(t *testing.T) {
	f := newFixture(t)
	if _, err := f.service.db.Exec(t.Context(), `UPDATE iam_api_keys SET end_validity = ? WHERE tenant_id = ?`,
		store.Format(time.Now().Add(time.Hour)), acme); err != nil {
		t.Fatal(err)
	}
	if _, err := f.service.Authenticate(t.Context(), acmeKey); err != nil {
		t.Errorf("within its validity: %v", err)
	}
	f.service.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, err := f.service.Authenticate(t.Context(), acmeKey); !errors.Is(err, httpapi.ErrUnknownKey) {
		t.Errorf("after its validity: %v", err)
	}
}
