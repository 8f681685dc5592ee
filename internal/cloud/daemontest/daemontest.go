// Package daemontest runs one product of the local cloud in tests as the daemon runs it: daemons come and go on a
// database that stays.
package daemontest

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// Product is a product's service.
type Product interface {
	Register(r chi.Router)
	Run(ctx context.Context) error
}

// Daemon has one product. It is a handler: that of the daemon that was started last.
type Daemon[P Product] struct {
	DB *store.DB
	// Header of every request.
	Header http.Header

	t        testing.TB
	contract contracttest.Checker
	open     func(context.Context, *store.DB) (P, error)
	stop     func()

	mu      sync.Mutex
	service P
	handler http.Handler
}

// New makes the database, and no daemon yet. open is a product's New.
func New[P Product](t testing.TB, contract contracttest.Checker, open func(context.Context, *store.DB) (P, error)) *Daemon[P] {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon[P]{DB: db, Header: http.Header{}, t: t, contract: contract, open: open}
	t.Cleanup(func() {
		d.Kill()
		_ = db.Close()
	})
	return d
}

// Start starts a daemon.
func (d *Daemon[P]) Start() {
	d.t.Helper()
	service, err := d.open(context.Background(), d.DB)
	if err != nil {
		d.t.Fatal(err)
	}
	router := chi.NewRouter()
	service.Register(router)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- service.Run(ctx) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("Run: %v", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.service, d.handler = service, router
}

// Kill ends the daemon, if there is one. What it was at is left as it is; its handler still answers.
func (d *Daemon[P]) Kill() {
	if d.stop != nil {
		d.stop()
		d.stop = nil
	}
}

// Restart is Kill and Start.
func (d *Daemon[P]) Restart() {
	d.t.Helper()
	d.Kill()
	d.Start()
}

// Service returns the product of the daemon that was started last.
func (d *Daemon[P]) Service() P {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.service
}

// ServeHTTP implements http.Handler.
func (d *Daemon[P]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	handler := d.handler
	d.mu.Unlock()
	handler.ServeHTTP(w, r)
}

// Answer to a request.
type Answer struct {
	Status int
	Body   []byte
}

// JSON is the answer's object.
func (a Answer) JSON(t testing.TB) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.Body, &v); err != nil {
		t.Fatalf("%v: %s", err, a.Body)
	}
	return v
}

// As sends a request of a tenant and holds the answer against our document and the published contract.
func (d *Daemon[P]) As(tenantID, method, path, body string) Answer {
	d.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header = d.Header.Clone()
	req = d.contract.Watch(d.t, req.WithContext(httpapi.WithIdentity(req.Context(), httpapi.Identity{TenantID: tenantID})))
	rec := httptest.NewRecorder()
	d.ServeHTTP(rec, req)
	d.contract.Check(d.t, method, req.URL.Path, rec.Code, rec.Body.Bytes())
	return Answer{Status: rec.Code, Body: bytes.TrimSpace(rec.Body.Bytes())}
}

// Tenant asks Do's questions.
const Tenant = "22222222-2222-4222-8222-222222222222"

// Do sends a request of Tenant, which must be answered with the status.
func (d *Daemon[P]) Do(method, path, body string, want int) Answer {
	d.t.Helper()
	a := d.As(Tenant, method, path, body)
	if a.Status != want {
		d.t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.Status, want, a.Body)
	}
	return a
}
