package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/mgc"
)

const (
	goodKey   = "11111111-1111-4111-8111-111111111111"
	readKey   = "22222222-2222-4222-8222-222222222222"
	wrongKey  = "33333333-3333-4333-8333-333333333333"
	systemKey = "44444444-4444-4444-8444-444444444444"
)

// fakeIAM knows some keys and counts how often it is asked.
type fakeIAM struct {
	mu    sync.Mutex
	keys  map[string]*mgc.Identity
	err   error
	calls int
}

func (f *fakeIAM) Introspect(_ context.Context, key string) (*mgc.Identity, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.err != nil {
		return nil, f.err
	}
	if id, ok := f.keys[key]; ok {
		return id, nil
	}
	return &mgc.Identity{}, nil
}

// world is a gateway before servers that say what they got.
type world struct {
	t       *testing.T
	gateway *Gateway
	iam     *fakeIAM
	log     *bytes.Buffer
	seen    atomic.Pointer[seen]
	mu      sync.Mutex
	records []audit.Record
	// answer is what the servers say, if it is set.
	answer http.HandlerFunc
}

type seen struct {
	server, path, query, body string
	header                    http.Header
}

func newWorld(t *testing.T, change func(*Options)) *world {
	w := &world{t: t, log: &bytes.Buffer{}, iam: &fakeIAM{keys: map[string]*mgc.Identity{
		goodKey: {Active: true, TenantID: "tenant-1", Subject: "maria", SubjectType: "user", Name: "maria@example.com", KeyID: "key-1", Scopes: []string{"mke.read", "mke.write", "pa:sa:manage"},
			Permissions: []string{"*"}},
		readKey:   {Active: true, TenantID: "tenant-1", Subject: "bot", Scopes: []string{"mke.read"}, Permissions: []string{"*"}},
		systemKey: {Active: true, Subject: "platform", Scopes: []string{"*"}, Permissions: []string{"*"}},
	}}}
	server := func(name string) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.seen.Store(&seen{name, r.URL.Path, r.URL.RawQuery, string(body), r.Header.Clone()})
			if w.answer != nil {
				w.answer(rw, r)
				return
			}
			rw.Header().Set("X-Request-Id", "from behind")
			_, _ = rw.Write([]byte(name))
		}))
		t.Cleanup(s.Close)
		return s
	}
	parse := func(raw string) *url.URL {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	o := Options{Region: "br-se1", APIURL: parse(server("api").URL), CloudURL: parse(server("cloud").URL + "/br-se1"), APITransport: http.DefaultTransport,
		CloudTransport: http.DefaultTransport, IAM: w.iam, RateLimit: 10000, WriteLimit: 10000, FailureLimit: 10000, PlatformKey: systemKey, Audit: w.keep, Log: slog.New(slog.NewJSONHandler(w.log, nil))}
	if change != nil {
		change(&o)
	}
	w.gateway = New(t.Context(), o)
	return w
}

func (w *world) keep(line []byte) error {
	var r audit.Record
	if err := json.Unmarshal(line, &r); err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, r)
	return nil
}

func (w *world) do(method, path, body string, headers ...string) *http.Response {
	w.t.Helper()
	w.seen.Store(nil)
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("X-Api-Key", goodKey)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Del(headers[i])
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	rec := httptest.NewRecorder()
	w.gateway.ServeHTTP(rec, r)
	return rec.Result()
}

func TestRoutes(t *testing.T) {
	w := newWorld(t, nil)
	for path, want := range map[string]string{
		"/br-se1/kubernetes/v0/clusters?_limit=2": "api /v0/clusters _limit=2",
		"/kubernetes/v1alpha0/clusters/x":         "api /v1alpha0/clusters/x ",
		"/v0/clusters":                            "api /v0/clusters ",
		"/v1/flavors":                             "api /v1/flavors ",
		"/br-se1/compute/v1/instances":            "cloud /br-se1/compute/v1/instances ",
		"/network/v0/vpcs":                        "cloud /br-se1/network/v0/vpcs ",
		"/br-se1/load-balancer/v0beta1/x":         "cloud /br-se1/load-balancer/v0beta1/x ",
		"/br-se1/volume/v1/volumes":               "cloud /br-se1/volume/v1/volumes ",
		"/iam/api/v1/service-accounts":            "cloud /iam/api/v1/service-accounts ",
		"/profile/v0/availability-zones":          "cloud /profile/v0/availability-zones ",
		"/":                                       "",
		"/br-ne1/kubernetes/v0/clusters":          "",
		"/iam/internal/v1/introspect":             "",
		"/br-se1/iam/internal/v1/introspect":      "",
		"/iam/%69nternal/v1/introspect":           "",
		"/iam//internal/v1":                       "",
		"/iam/x/../internal/v1":                   "",
		"/internal/v1/faults":                     "",
		"/iam%2Finternal/v1":                      "",
		"/v0/clusters%0d%0aX-Evil:%201":           "",
		"/v0/clusters%00":                         "",
		"/v0/../iam/internal/v1/introspect":       "",
		"/v0/clusters/%2e%2e/%2e%2e/internal":     "",
	} {
		res := w.do(http.MethodGet, path, "")
		got := ""
		if s := w.seen.Load(); s != nil {
			got = s.server + " " + s.path + " " + s.query
		}
		if got != want {
			t.Errorf("%s went to %q, want %q", path, got, want)
		}
		if want == "" {
			wantProblem(t, res, http.StatusNotFound, "not_found")
		}
	}
}

func wantProblem(t *testing.T, res *http.Response, status int, slug string) {
	t.Helper()
	var body struct{ Message, Slug string }
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		t.Error(err)
	}
	if res.StatusCode != status || body.Slug != slug || body.Message == "" || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("got %d %+v, want %d %s", res.StatusCode, body, status, slug)
	}
	if res.Header.Get("X-Request-Id") == "" || res.Header.Get("X-Mgc-Trace-Id") == "" {
		t.Error("an answer has no request id")
	}
}

func TestWhoMayPass(t *testing.T) {
	w := newWorld(t, nil)
	const cluster = "/v0/clusters/5f2c1f5e-0000-4000-8000-000000000000"
	for name, tc := range map[string]struct {
		method, path string
		headers      []string
		status       int
	}{
		"no key":                 {"GET", "/v0/clusters", []string{"X-Api-Key", ""}, 401},
		"wrong key":              {"GET", "/v0/clusters", []string{"X-Api-Key", wrongKey}, 401},
		"no UUID":                {"GET", "/v0/clusters", []string{"X-Api-Key", "secret"}, 401},
		"upper case":             {"GET", "/v0/clusters", []string{"X-Api-Key", strings.ToUpper("aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa")}, 401},
		"platform's own key":     {"GET", "/v0/clusters", []string{"X-Api-Key", systemKey}, 401},
		"basic authentication":   {"GET", "/v0/clusters", []string{"X-Api-Key", "", "Authorization", "Basic eDp5"}, 401},
		"bearer":                 {"GET", "/v0/clusters", []string{"X-Api-Key", "", "Authorization", "Bearer " + goodKey}, 200},
		"read":                   {"GET", cluster, []string{"X-Api-Key", readKey}, 200},
		"read the kubeconfig":    {"GET", cluster + "/kubeconfig", []string{"X-Api-Key", readKey}, 200},
		"create without scope":   {"POST", "/v0/clusters", []string{"X-Api-Key", readKey}, 403},
		"change without scope":   {"PATCH", cluster, []string{"X-Api-Key", readKey}, 403},
		"delete without scope":   {"DELETE", cluster, []string{"X-Api-Key", readKey}, 403},
		"pool without scope":     {"POST", cluster + "/node_pools", []string{"X-Api-Key", readKey}, 403},
		"create":                 {"POST", "/v0/clusters", nil, 200},
		"cloud checks by itself": {"POST", "/compute/v1/instances", []string{"X-Api-Key", readKey}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			res := w.do(tc.method, tc.path, "{}", tc.headers...)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d", res.StatusCode, tc.status)
			}
			if passed := w.seen.Load() != nil; passed != (tc.status == 200) {
				t.Errorf("passed: %v", passed)
			}
			if tc.status != 200 {
				wantProblem(t, res, tc.status, map[int]string{401: "unauthorized", 403: "forbidden"}[tc.status])
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t, nil)
	res := w.do(http.MethodPost, "/v0/clusters", `{"name":"c"}`, "X-Mke-Tenant-Id", "tenant-2", "X-Mke-Evil", "1", "X-Tenant-Id", "tenant-2",
		"X-Request-Id", "abc-1", "Connection", "X-Mke-Tenant-Id")
	s := w.seen.Load()
	for header, want := range map[string]string{"X-Mke-Tenant-Id": "tenant-1", "X-Mke-Subject": "maria", "X-Mke-Scopes": "mke.read mke.write pa:sa:manage",
		"X-Mke-Evil": "", "X-Tenant-Id": "", "X-Api-Key": "", "Authorization": "", "X-Request-Id": "abc-1"} {
		if got := s.header.Get(header); got != want {
			t.Errorf("mke-api got %s: %q, want %q", header, got, want)
		}
	}
	if s.body != `{"name":"c"}` {
		t.Errorf("body %q", s.body)
	}
	if got := res.Header.Values("X-Request-Id"); fmt.Sprint(got) != "[abc-1]" {
		t.Errorf("X-Request-Id = %v", got)
	}
	w.do(http.MethodGet, "/network/v0/vpcs", "", "X-Tenant-Id", "tenant-2", "X-Request-Id", "bad id\nwith noise")
	s = w.seen.Load()
	if s.header.Get("X-Api-Key") != goodKey || s.header.Get("X-Tenant-Id") != "" || strings.Contains(s.header.Get("X-Request-Id"), " ") {
		t.Errorf("the cloud got %v", s.header)
	}
}

func TestBodies(t *testing.T) {
	w := newWorld(t, nil)
	wantProblem(t, w.do(http.MethodPost, "/v0/clusters", strings.Repeat("x", maxBody+1)), http.StatusRequestEntityTooLarge, "body_too_large")
	// Without a length.
	r := httptest.NewRequest(http.MethodPost, "/v0/clusters", io.MultiReader(strings.NewReader(strings.Repeat("x", maxBody)), strings.NewReader("x")))
	r.Header.Set("X-Api-Key", goodKey)
	rec := httptest.NewRecorder()
	w.gateway.ServeHTTP(rec, r)
	wantProblem(t, rec.Result(), http.StatusRequestEntityTooLarge, "body_too_large")
	if w.seen.Load() != nil {
		t.Error("a part of the body was forwarded")
	}
	if w.do(http.MethodDelete, "/v0/clusters/x", "null"); w.seen.Load().body != "null" {
		t.Error("DELETE with the body null must pass")
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.RateLimit, o.FailureLimit = 3, 2 })
	limited := func(key string) (n int) {
		for range 10 {
			if res := w.do(http.MethodGet, "/v0/clusters", "", "X-Api-Key", key); res.StatusCode == http.StatusTooManyRequests {
				n++
				if res.Header.Get("Retry-After") != "1" {
					t.Errorf("Retry-After = %q", res.Header.Get("Retry-After"))
				}
			}
		}
		return n
	}
	if n := limited(goodKey); n < 4 {
		t.Errorf("%d of 10 requests were limited", n)
	}
	if n := limited(wrongKey); n < 5 {
		t.Errorf("%d of 10 wrong keys were limited", n)
	}
}

func TestIdentitiesAreRemembered(t *testing.T) {
	w := newWorld(t, nil)
	now := time.Now()
	w.gateway.identities.now = func() time.Time { return now }
	get := func() int { return w.do(http.MethodGet, "/v0/clusters", "").StatusCode }
	for range 5 {
		get()
	}
	if w.iam.calls != 1 {
		t.Errorf("IAM was asked %d times", w.iam.calls)
	}
	now = now.Add(positiveTTL)
	w.iam.err = errors.New("IAM is away")
	if status := get(); status != 200 {
		t.Errorf("a known key gets %d while IAM is away", status)
	}
	now = now.Add(staleTTL)
	if status := get(); status != 503 {
		t.Errorf("a key not seen for long gets %d while IAM is away", status)
	}
	w.iam.err = nil
	if status := get(); status != 200 {
		t.Errorf("status %d", status)
	}
	delete(w.iam.keys, goodKey)
	now = now.Add(positiveTTL)
	if status := get(); status != 401 {
		t.Errorf("a revoked key gets %d", status)
	}
}

func TestServerBehindIsAway(t *testing.T) {
	w := newWorld(t, func(o *Options) {
		o.APITransport = &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, syscall.EHOSTUNREACH }}
	})
	res := w.do(http.MethodGet, "/v0/clusters", "")
	wantProblem(t, res, http.StatusServiceUnavailable, "unavailable")
	if strings.Contains(w.log.String(), goodKey) {
		t.Error("the log contains an API key")
	}
}

func TestDialWaitsForARestart(t *testing.T) {
	tries := 0
	client, server := net.Pipe()
	defer server.Close()
	conn, err := dialPatiently(t.Context(), func(context.Context) (net.Conn, error) {
		if tries++; tries < 3 {
			return nil, syscall.ECONNREFUSED
		}
		return client, nil
	})
	if err != nil || conn != client {
		t.Errorf("%v after %d tries", err, tries)
	}
}
