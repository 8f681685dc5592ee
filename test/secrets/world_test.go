// Package secrets checks that what the platform logs, and what it records of calls, never contains a secret.
package secrets

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/iam"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/gateway"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/mkeapi"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Run(m)) }

const (
	tenantKey   = "aaaaaaaa-0000-4000-8000-000000000001"
	platformKey = "aaaaaaaa-0000-4000-8000-000000000002"
	kubeconfig  = "kind: Config # with-a-client-key-in-it"
)

// journal is what all servers log, of every level.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// world is gateway, mke-api and IAM in one process.
type world struct {
	t       *testing.T
	journal *journal
	pool    *pgxpool.Pool
	iam     *httptest.Server
	gateway http.Handler
	cookies []*http.Cookie
}

// clusters has a kubeconfig of every cluster, and nothing else.
type clusters struct{ mkeapi.Clusters }

func (clusters) Kubeconfig(context.Context, string, string) ([]byte, error) {
	return []byte(kubeconfig), nil
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, journal: &journal{}}
	log := slog.New(slog.NewJSONHandler(w.journal, &slog.HandlerOptions{Level: slog.LevelDebug}))
	before := slog.Default()
	slog.SetDefault(log)
	t.Cleanup(func() { slog.SetDefault(before) })
	w.startIAM()
	api := w.newAPI(log)
	apiServer := httptest.NewServer(api)
	t.Cleanup(apiServer.Close)
	transport := w.iam.Client().Transport
	client, err := mgc.New(mgc.Config{Endpoint: w.iam.URL + "/br-se1", APIKey: platformKey, HTTPClient: &http.Client{Transport: transport}})
	w.must(err)
	w.gateway = gateway.New(t.Context(), gateway.Options{Region: "br-se1", APIURL: w.parse(apiServer.URL), CloudURL: w.parse(w.iam.URL + "/br-se1"),
		APITransport: http.DefaultTransport, CloudTransport: transport, IAM: client.IAM, RateLimit: 1000, WriteLimit: 1000, FailureLimit: 1000, PlatformKey: platformKey, Log: log,
		Audit: func(line []byte) error {
			res, err := http.Post(apiServer.URL+audit.Path, "application/json", strings.NewReader(`{"records":[`+string(line)+`]}`))
			if err == nil {
				_ = res.Body.Close()
			}
			return err
		}})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) parse(raw string) *url.URL {
	u, err := url.Parse(raw)
	w.must(err)
	return u
}

// startIAM serves IAM as the cloud does.
func (w *world) startIAM() {
	router := chi.NewRouter()
	w.iam = httptest.NewUnstartedServer(router)
	w.iam.StartTLS()
	w.t.Cleanup(w.iam.Close)
	database, err := store.Open(w.t.Context(), filepath.Join(w.t.TempDir(), "cloud.db"))
	w.must(err)
	w.t.Cleanup(func() { _ = database.Close() })
	service, err := iam.New(w.t.Context(), database, w.iam.URL+"/br-se1/iam")
	w.must(err)
	w.must(service.ApplyBootstrap(w.t.Context(), iam.Bootstrap{PlatformAPIKey: platformKey, Tenants: []iam.BootstrapTenant{{ID: mgctest.Tenant, Name: "Acme", APIKey: tenantKey}}}))
	w.must(service.SetPassword(w.t.Context(), email, "Acme", password))
	router.Use(httpapi.RequestIDs, httpapi.Log(slog.Default()), httpapi.Recover)
	for _, path := range []string{"/iam", "/br-se1/iam"} {
		router.Route(path, func(r chi.Router) {
			service.RegisterPublic(r)
			r.Group(func(r chi.Router) {
				r.Use(httpapi.Authenticate(service, httpapi.SlugMessageOrigin), httpapi.Authorize("iam", httpapi.SlugMessageOrigin))
				service.Register(r)
			})
		})
	}
}

func (w *world) newAPI(log *slog.Logger) *mkeapi.Server {
	pool, err := pgxpool.New(w.t.Context(), testpg.Database(w.t))
	w.must(err)
	w.t.Cleanup(pool.Close)
	w.must(db.Migrate(w.t.Context(), pool))
	w.pool = pool
	cloud, err := mkeapi.NewCloud(mgctest.New(w.t).Endpoint(), "", mgctest.PlatformKey, mgctest.Region)
	w.must(err)
	quotas, err := mkeapi.NewQuotas(nil)
	w.must(err)
	prices, err := price.Load("", catalog.Default().NodePoolFlavors())
	w.must(err)
	api := mkeapi.New(mkeapi.Options{Store: record.New(pool), Cloud: cloud, Nodes: clusters{}, Catalog: catalog.Default(), Quotas: quotas, Prices: prices, Region: mgctest.Region, Log: log})
	w.t.Cleanup(api.Wait)
	return api
}

// do sends a request through the gateway and wants a status.
func (w *world) do(method, path, body string, want int, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	for _, c := range w.cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.gateway.ServeHTTP(rec, r)
	if rec.Code != want {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, rec.Code, want, rec.Body)
	}
	if set := rec.Result().Cookies(); len(set) > 0 {
		w.cookies = set
	}
	return rec
}

// form sends a form as browsers and OAuth clients do.
func (w *world) form(path string, values url.Values, want int, headers ...string) *httptest.ResponseRecorder {
	w.t.Helper()
	return w.do(http.MethodPost, path, values.Encode(), want, append(headers, "Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin")...)
}

// records are all audit records as text.
func (w *world) records() string {
	var text string
	w.must(w.pool.QueryRow(w.t.Context(), `SELECT coalesce(json_agg(r)::text, '') FROM audit_records r`).Scan(&text))
	return text
}
