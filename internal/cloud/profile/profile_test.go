package profile

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func TestMain(m *testing.M) { os.Exit(contracttest.Run(m, "profile")) }

func TestZonesAndKeys(t *testing.T) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := New(t.Context(), db, "br-se1", []string{"br-se1-a", "br-se1-b"})
	if err != nil {
		t.Fatal(err)
	}
	router, contract := chi.NewRouter(), contracttest.Load(t, "profile")
	s.Register(router)
	do := func(tenant, method, path, body string, want int) map[string]any {
		t.Helper()
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req = req.WithContext(httpapi.WithIdentity(req.Context(), httpapi.Identity{TenantID: tenant, Scopes: []string{"*"}}))
		rec := httptest.NewRecorder()
		router.ServeHTTP(rec, contract.Watch(t, req))
		if rec.Code != want {
			t.Fatalf("%s %s: got %d, want %d: %s", method, path, rec.Code, want, rec.Body)
		}
		contract.Check(t, method, req.URL.Path, rec.Code, rec.Body.Bytes())
		var v map[string]any
		if err := json.Unmarshal(rec.Body.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}

	region := do("a", "GET", "/v0/availability-zones", "", 200)["results"].([]any)[0].(map[string]any)
	if region["region_id"] != "br-se1" || len(region["availability_zones"].([]any)) != 2 {
		t.Errorf("got %v", region)
	}
	const key = `{"name":"mine","key":"ssh-ed25519 AAAA me"}`
	id := do("a", "POST", "/v0/ssh-keys", key, 201)["id"].(string)
	do("a", "POST", "/v0/ssh-keys", key, 409)
	do("b", "POST", "/v0/ssh-keys", key, 201)
	for _, bad := range []string{`{}`, `{"name":"x","key":"nonsense"}`, `{"name":"x","key":"ssh-rsa AAAA\nssh-rsa BBBB"}`, `{"name":"` + strings.Repeat("x", 46) + `","key":"ssh-rsa A"}`} {
		do("a", "POST", "/v0/ssh-keys", bad, 422)
	}
	if list := do("a", "GET", "/v0/ssh-keys", "", 200)["results"].([]any); len(list) != 1 {
		t.Errorf("got %v", list)
	}
	do("a", "POST", "/v0/ssh-keys", strings.Replace(key, "mine", "another", 1), 201)
	for order, first := range map[string]string{"name:asc": "another", "name:desc": "mine"} {
		if list := do("a", "GET", "/v0/ssh-keys?_limit=1&_sort="+order, "", 200)["results"].([]any); len(list) != 1 || list[0].(map[string]any)["name"] != first {
			t.Errorf("%s: got %v", order, list)
		}
	}
	do("a", "GET", "/v0/ssh-keys?_sort=key:asc", "", 422)
	if found := do("a", "GET", "/v0/ssh-keys/"+id, "", 200); found["name"] != "mine" || found["key_type"] != "ssh-ed25519" {
		t.Errorf("got %v", found)
	}
	do("b", "GET", "/v0/ssh-keys/"+id, "", 404)
	do("b", "DELETE", "/v0/ssh-keys/"+id, "", 404)
	if found, err := s.PublicKey(t.Context(), db, "a", "mine"); err != nil || !strings.HasPrefix(found, "ssh-ed25519") {
		t.Errorf("got %q, %v", found, err)
	}
	do("a", "DELETE", "/v0/ssh-keys/"+id, "", 200)
	if _, err := s.PublicKey(t.Context(), db, "a", "mine"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}
