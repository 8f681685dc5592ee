package volume

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	tenant  = "22222222-2222-4222-8222-222222222222"
	foreign = "99999999-9999-4999-8999-999999999999"
	vm      = "0a000000-0000-4000-8000-000000000001"
	otherVM = "0a000000-0000-4000-8000-000000000002"
	farVM   = "0a000000-0000-4000-8000-000000000003" // in another zone
	alienVM = "0a000000-0000-4000-8000-000000000004" // of another tenant
)

// region is a database and a machine, with daemons that come and go.
type region struct {
	t        *testing.T
	db       *store.DB
	machine  *machine
	contract contracttest.Checker

	retry time.Duration // the first wait between tries; default 1 ms

	service *Service
	api     http.Handler
	stop    func()
}

var (
	loadContract sync.Once
	published    contracttest.Checker
)

// contract is read once: it is large.
func contract(t *testing.T) contracttest.Checker {
	loadContract.Do(func() { published = contracttest.Load(t, "block-storage") })
	return published
}

func newRegion(t *testing.T) *region {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	r := &region{t: t, db: db, machine: newMachine(), contract: contract(t)}
	for id, zone := range map[string]string{vm: "br-se1-a", otherVM: "br-se1-a", farVM: "br-se1-b"} {
		r.machine.add(id, tenant, zone)
	}
	r.machine.add(alienVM, foreign, "br-se1-a")
	t.Cleanup(func() {
		r.kill()
		_ = db.Close()
	})
	r.start()
	return r
}

// start starts a daemon.
func (r *region) start() {
	r.t.Helper()
	s, err := New(context.Background(), r.db, Config{
		Zones: []string{"br-se1-a", "br-se1-b", "br-se1-c"}, Driver: fakeDriver{r.machine}, Machines: fakeMachines{r.machine},
		Instances: r.machine.find, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	s.retryBetween(max(r.retry, time.Millisecond), max(r.retry, 5*time.Millisecond))
	router := chi.NewRouter()
	s.Register(router)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	r.service, r.api = s, router
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
}

func (r *region) kill() {
	if r.stop != nil {
		r.stop()
		r.stop = nil
	}
}

func (r *region) restart() {
	r.kill()
	r.start()
}

type answer struct {
	status int
	body   []byte
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

func (r *region) as(tenantID, method, path, body string) answer {
	r.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req = req.WithContext(httpapi.WithIdentity(req.Context(), httpapi.Identity{TenantID: tenantID}))
	rec := httptest.NewRecorder()
	r.api.ServeHTTP(rec, req)
	r.contract.Check(r.t, method, req.URL.Path, rec.Code, rec.Body.Bytes())
	return answer{status: rec.Code, body: bytes.TrimSpace(rec.Body.Bytes())}
}

func (r *region) do(method, path, body string, want int) answer {
	r.t.Helper()
	a := r.as(tenant, method, path, body)
	if a.status != want {
		r.t.Fatalf("%s %s: got %d, want %d: %s", method, path, a.status, want, a.body)
	}
	return a
}

// create creates a volume of 10 GiB and waits for it.
func (r *region) create(name string) string {
	r.t.Helper()
	id := r.do("POST", "/v1/volumes", `{"name":"`+name+`","size":10,"type":{"name":"cloud_nvme5k"}}`, 202).json(r.t)["id"].(string)
	r.await("volumes", id, "completed/available")
	return id
}

func (r *region) attach(id, instance string) {
	r.t.Helper()
	r.do("POST", "/v1/volumes/"+id+"/attach/"+instance, "", 204)
	r.await("volumes", id, "completed/in-use")
}

// snapshot takes a snapshot and waits until it is as wanted.
func (r *region) snapshot(name, volumeID, want string) string {
	r.t.Helper()
	id := r.do("POST", "/v1/snapshots", `{"name":"`+name+`","description":"","volume":{"id":"`+volumeID+`"}}`, 202).json(r.t)["id"].(string)
	r.await("snapshots", id, want)
	return id
}

// await waits until a volume or snapshot has the status and the state; "404" for gone.
func (r *region) await(kind, id, want string) {
	r.t.Helper()
	deadline := time.Now().Add(30 * time.Second) // machines may be busy
	got := ""
	for time.Now().Before(deadline) {
		if got = r.status(kind, id); got == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.t.Fatalf("%s is %s, want %s", kind, got, want)
}

func (r *region) status(kind, id string) string {
	r.t.Helper()
	a := r.as(tenant, "GET", "/v1/"+kind+"/"+id, "")
	if a.status != http.StatusOK {
		return strconv.Itoa(a.status)
	}
	v := a.json(r.t)
	return v["status"].(string) + "/" + v["state"].(string)
}
