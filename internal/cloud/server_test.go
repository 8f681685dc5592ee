package cloud

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/iam"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	platformKey = "11111111-1111-4111-8111-111111111111"
	acme        = "22222222-2222-4222-8222-222222222222"
	acmeKey     = "33333333-3333-4333-8333-333333333333"
)

func options(t *testing.T) Options {
	t.Helper()
	return Options{
		DataDir: t.TempDir(), Region: "br-se1", Listen: "198.18.0.1:8443", Prefix: "mketest", FaultInjection: true,
		PublicPool: netip.MustParsePrefix("198.18.0.0/16"), EdgeAddress: netip.MustParseAddr("198.18.0.1"),
		Bootstrap: iam.Bootstrap{PlatformAPIKey: platformKey, Tenants: []iam.BootstrapTenant{{ID: acme, Name: "Acme", APIKey: acmeKey}}},
		Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

// newHandlers returns what answers outside and on the unix socket; nothing happens on the machine.
func newHandlers(t *testing.T) (public, local http.Handler) {
	t.Helper()
	s, o := newTestServices(t), options(t)
	return handlerOf(t, s, o, false), handlerOf(t, s, o, true)
}

func handlerOf(t *testing.T, s *services, o Options, local bool) http.Handler {
	t.Helper()
	h, err := s.handler(o, local)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newTestServices(t *testing.T) *services {
	t.Helper()
	o := options(t)
	db, err := store.Open(t.Context(), o.dir("cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s, err := newServices(t.Context(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(h http.Handler, method, path, key, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("X-Api-Key", key)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func TestRoutes(t *testing.T) {
	public, _ := newHandlers(t)
	for _, c := range []struct {
		method, path, key string
		status            int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/br-se1/compute/v1/instances", acmeKey, 200},
		{"GET", "/compute/v1/instances", acmeKey, 200},
		{"GET", "/br-se1/compute/v1/instances", "", 401},
		{"GET", "/br-ne1/compute/v1/instances", acmeKey, 404},
		{"GET", "/br-se1/network/v0/vpcs", acmeKey, 200},
		{"GET", "/br-se1/load-balancer/v0beta1/network-load-balancers", acmeKey, 200},
		{"GET", "/iam/api/v1/service-accounts", acmeKey, 200},
		{"GET", "/profile/v0/availability-zones", acmeKey, 200},
		{"GET", "/br-se1/volume/v1/volumes", acmeKey, 200},
		{"GET", "/br-se1/dbaas/v1/x", acmeKey, 404},
		{"GET", "/compute/v2/nothing", acmeKey, 404},
		{"PUT", "/compute/v1/instances", acmeKey, 405},
		{"PUT", "/internal/v1/faults", acmeKey, 404},
		{"PUT", "/internal/v1/hollow", platformKey, 404},
		{"PUT", "/internal/v1/quotas", platformKey, 404},
		{"POST", "/iam/internal/v1/introspect", acmeKey, 404},
	} {
		rec := ask(public, c.method, c.path, c.key, "")
		if rec.Code != c.status {
			t.Errorf("%s %s: got %d, want %d: %s", c.method, c.path, rec.Code, c.status, rec.Body)
		}
		var e struct{ Message, Slug string }
		if c.status >= 400 && (json.Unmarshal(rec.Body.Bytes(), &e) != nil || e.Message == "" || e.Slug == "") {
			t.Errorf("%s %s: the error must have message and slug: %s", c.method, c.path, rec.Body)
		}
		if rec.Header().Get("X-Request-Id") == "" {
			t.Errorf("%s %s: no request id", c.method, c.path)
		}
	}
}

func TestFaultsComeOverTheSocketAndHitThePublicSide(t *testing.T) {
	public, local := newHandlers(t)
	if rec := ask(local, "PUT", "/internal/v1/faults", "", `{"status":500,"path_prefix":"/compute","duration_s":60}`); rec.Code != 204 {
		t.Fatalf("got %d %s", rec.Code, rec.Body)
	}
	for path, want := range map[string]int{"/br-se1/compute/v1/instances": 500, "/compute/v1/instances": 500, "/network/v0/vpcs": 200} {
		if rec := ask(public, "GET", path, acmeKey, ""); rec.Code != want {
			t.Errorf("%s: got %d, want %d", path, rec.Code, want)
		}
	}
	if rec := ask(local, "GET", "/compute/v1/instances", acmeKey, ""); rec.Code != 200 {
		t.Errorf("over the socket: %d", rec.Code)
	}
}

func TestHollowBehaviorComesOverTheSocket(t *testing.T) {
	_, local := newHandlers(t)
	for _, c := range []struct {
		method, body string
		status       int
		want         string
	}{
		{"GET", "", 200, `"rules":[]`},
		{"PUT", `{"rules":[{"percent":101}]}`, 422, "rules[0].percent"},
		{"PUT", `{"rules":[{"flavor":"HL2-*","percent":20,"never_boots":true}]}`, 204, ""},
		{"GET", "", 200, `"never_boots":true`},
		{"PUT", `{"rules":[]}`, 204, ""},
		{"GET", "", 200, `"rules":[]`},
	} {
		rec := ask(local, c.method, "/internal/v1/hollow", "", c.body)
		if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.want) {
			t.Errorf("%s %s: got %d %s, want %d with %s", c.method, c.body, rec.Code, rec.Body, c.status, c.want)
		}
	}
	if rec := ask(local, "PUT", "/internal/v1/quotas", "", `{"instances":0}`); rec.Code != 204 {
		t.Errorf("quota: got %d %s", rec.Code, rec.Body)
	}
}

func TestOneDaemonPerDataFolder(t *testing.T) {
	o := options(t)
	lock, err := lockDataDir(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // do not wait for the first one to end
	if _, err := lockDataDir(ctx, o); err == nil || !strings.Contains(err.Error(), "another") {
		t.Errorf("a second daemon: %v", err)
	}
	_ = lock.Close()
	again, err := lockDataDir(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}

func TestImages(t *testing.T) {
	dir := t.TempDir()
	if images, err := (localImages{dir}).List(t.Context()); err != nil || len(images) != 0 {
		t.Errorf("without images: %v %v", images, err)
	}
	writeImages(t, dir)
	images, err := (localImages{dir}).List(t.Context())
	if err != nil || len(images) != 1 || images[0].Name != "cloud-mke-node-v1.34.2" || images[0].Store != "/s" {
		t.Errorf("got %+v, %v; the management image is not built yet", images, err)
	}
}

// writeImages records an image as `mke image build` does.
func writeImages(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "cache"), 0o755); err != nil {
		t.Fatal(err)
	}
	current := `{"node":{"rootFS":"/r","version":"v1.34.2","stores":{"customer":"/s"}}}`
	if err := os.WriteFile(filepath.Join(dir, "cache", "current.json"), []byte(current), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBootstrapFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bootstrap.json")
	for content, want := range map[string]string{"{": "is not valid", `{"platform_api_key":"` + platformKey + `"}`: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := readBootstrap(path)
		if want == "" && (err != nil || b.PlatformAPIKey != platformKey) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v", content, err)
		}
	}
	if _, err := readBootstrap(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing file must be an error")
	}
}

func TestSetPassword(t *testing.T) {
	o := options(t)
	if err := setPassword(t.Context(), o.DataDir, "maria@example.com", "Acme", "long enough"); err == nil {
		t.Error("there is no cloud yet")
	}
	db, err := store.Open(t.Context(), o.dir("cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := newServices(t.Context(), db, o); err != nil {
		t.Fatal(err)
	}
	password, err := readPassword(strings.NewReader("long enough\nnot this"), io.Discard)
	if err != nil || password != "long enough" {
		t.Fatalf("%q, %v", password, err)
	}
	if err := setPassword(t.Context(), o.DataDir, "maria@example.com", "Acme", password); err != nil {
		t.Error(err)
	}
	for _, organization := range []string{"", "Nobody"} {
		if setPassword(t.Context(), o.DataDir, "joao@example.com", organization, password) == nil {
			t.Errorf("organization %q", organization)
		}
	}
}
