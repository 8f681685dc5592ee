package mkeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Run(m)) }

const stranger = "99999999-9999-4999-8999-999999999999"

// harness is the API on a real database, with a fake cloud and fake clusters.
type harness struct {
	t        testing.TB
	server   *Server
	store    *record.Store
	pool     *pgxpool.Pool
	cloud    *mgctest.Cloud
	clusters *fakeClusters
	contract *contract
}

type fakeClusters struct {
	kubeconfig []byte
	err        error
	nodes      []corev1.Node
	nodesErr   error
	machines   []Machine
	addons     []mkev1.MGCAddon
	queryRange func(ctx context.Context, clusterID, clusterName string, q rangeQuery) (model.Matrix, error)
}

func (f *fakeClusters) Kubeconfig(context.Context, string, string) ([]byte, error) {
	return f.kubeconfig, f.err
}

func (f *fakeClusters) Nodes(context.Context, string, string, string) ([]corev1.Node, error) {
	return f.nodes, f.nodesErr
}

func (f *fakeClusters) Machines(context.Context, string, string, string) ([]Machine, error) {
	return f.machines, nil
}

func (f *fakeClusters) Addons(context.Context, string) ([]mkev1.MGCAddon, error) {
	return f.addons, nil
}

func (f *fakeClusters) QueryRange(ctx context.Context, clusterID, clusterName string, q rangeQuery) (model.Matrix, error) {
	return f.queryRange(ctx, clusterID, clusterName, q)
}

func newHarness(t testing.TB) *harness {
	t.Helper()
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, testpg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := db.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	h := &harness{t: t, store: record.New(pool), pool: pool, cloud: mgctest.New(t), clusters: &fakeClusters{err: errNotReady, nodesErr: errNotReady}, contract: loadContract(t)}
	cloud, err := newCloud(mgc.Config{Endpoint: h.cloud.Endpoint(), APIKey: mgctest.PlatformKey}, mgctest.Region)
	if err != nil {
		t.Fatal(err)
	}
	quotas, err := NewQuotas(nil)
	if err != nil {
		t.Fatal(err)
	}
	prices, err := price.Load("", catalog.Default().NodePoolFlavors())
	if err != nil {
		t.Fatal(err)
	}
	h.server = New(Options{Store: h.store, Cloud: cloud, Inventory: cloud, Nodes: h.clusters, Quotas: quotas, Prices: prices, Region: mgctest.Region, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Catalog: catalog.New(catalog.Version{Version: "v1.33.6"}, catalog.Version{Version: "v1.34.2"}, catalog.Version{Version: "v1.34.4"}, catalog.Version{Version: "v1.35.4", Deprecated: true})})
	t.Cleanup(h.server.Wait)
	return h
}

// exec changes what is in the database.
func (h *harness) exec(sql string, args ...any) {
	h.t.Helper()
	if _, err := h.pool.Exec(context.Background(), sql, args...); err != nil {
		h.t.Fatal(err)
	}
}

// response is an answer with its body read.
type response struct {
	*http.Response
	t    testing.TB
	body []byte
}

// as sends a request of a tenant and checks the answer against the published contract.
func (h *harness) as(tenant, method, path string, body any) response {
	h.t.Helper()
	return h.send(tenant, method, path, body, nil)
}

func (h *harness) send(tenant, method, path string, body any, header map[string]string) response {
	h.t.Helper()
	var reader io.Reader = http.NoBody
	switch b := body.(type) {
	case nil:
	case string:
		reader = bytes.NewReader([]byte(b))
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			h.t.Fatal(err)
		}
		reader = bytes.NewReader(raw)
	}
	r := httptest.NewRequest(method, path, reader)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Mke-Tenant-Id", tenant)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	res := response{w.Result(), h.t, w.Body.Bytes()}
	h.contract.check(h.t, r, res)
	return res
}

func (h *harness) do(method, path string, body any) response {
	h.t.Helper()
	return h.as(mgctest.Tenant, method, path, body)
}

func (r response) want(status int) response {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("status %d, want %d: %s", r.StatusCode, status, r.body)
	}
	return r
}

// wantProblem checks an error's status, its slug, and the slugs of the fields that it must name.
func (r response) wantProblem(status int, slug string, fields map[string]string) {
	r.t.Helper()
	r.want(status)
	var body struct {
		Message, Slug string
		Details       []struct{ Field, Slug string }
	}
	r.into(&body)
	if body.Slug != slug || body.Message == "" {
		r.t.Errorf("slug %q, want %q: %s", body.Slug, slug, r.body)
	}
	if fields == nil {
		return
	}
	got := map[string]string{}
	for _, d := range body.Details {
		got[d.Field] = d.Slug
	}
	if fmt.Sprint(got) != fmt.Sprint(fields) {
		r.t.Errorf("details\n got %v\nwant %v\n%s", got, fields, r.body)
	}
}

func (r response) into(v any) {
	r.t.Helper()
	if err := json.Unmarshal(r.body, v); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
}

// object decodes a JSON object.
func (r response) object() map[string]any {
	r.t.Helper()
	var v map[string]any
	r.into(&v)
	return v
}

// results decodes a list.
func (r response) results() []map[string]any {
	r.t.Helper()
	var v struct{ Results []map[string]any }
	r.into(&v)
	return v.Results
}

// createCluster creates a cluster and returns its id.
func (h *harness) createCluster(body any) string {
	h.t.Helper()
	id := h.do(http.MethodPost, "/v0/clusters", body).want(http.StatusCreated).object()["id"].(string)
	h.server.Wait()
	return id
}
