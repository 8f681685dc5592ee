package compute

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
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
)

// region is a database and a machine, with daemons that come and go.
type region struct {
	t        *testing.T
	db       *store.DB
	machine  *machine
	contract contracttest.Checker

	service *Service
	api     http.Handler
	stop    func()
}

func newRegion(t *testing.T) *region {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "cloud.db"))
	if err != nil {
		t.Fatal(err)
	}
	r := &region{t: t, db: db, machine: newMachine(), contract: contracttest.Load(t, "virtual-machine")}
	t.Cleanup(func() {
		r.kill()
		_ = db.Close()
	})
	return r
}

// start starts a daemon.
func (r *region) start() {
	r.t.Helper()
	s, err := New(context.Background(), r.db, Config{
		Zones: []string{"br-se1-a", "br-se1-b", "br-se1-c"}, Driver: fakeDriver{r.machine}, Images: fakeImages{},
		Network: fakeNetwork{r.machine}, Volumes: fakeVolumes{r.machine}, SSHKeys: fakeKeys{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	s.retryBetween(time.Millisecond, 5*time.Millisecond)
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
	req.Header.Set("x-api-version", "1.1")
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

const smallest = `{"name":"web","machine_type":{"name":"BV2-4-40"},"image":{"name":"img"},"network":{"associate_public_ip":false}}`

func (r *region) create() string {
	r.t.Helper()
	return r.do("POST", "/v1/instances", smallest, 201).json(r.t)["id"].(string)
}

// await waits until the instance has the status and the state; "404" for gone.
func (r *region) await(id, want string) {
	r.t.Helper()
	deadline := time.Now().Add(30 * time.Second) // machines may be busy
	got := ""
	for time.Now().Before(deadline) {
		if got = r.status(id); got == want {
			return
		}
		time.Sleep(time.Millisecond)
	}
	r.machine.mu.Lock()
	defer r.machine.mu.Unlock()
	r.t.Fatalf("instance is %s, want %s; calls: %v", got, want, r.machine.calls)
}

// status returns the instance's status and state, or 404.
func (r *region) status(id string) string {
	r.t.Helper()
	a := r.as(tenant, "GET", "/v1/instances/"+id, "")
	if a.status != http.StatusOK {
		return strconv.Itoa(a.status)
	}
	v := a.json(r.t)
	return v["status"].(string) + "/" + v["state"].(string)
}

// awaitOr waits until dead is closed, and returns true then, or the instance is as wanted.
func (r *region) awaitOr(dead <-chan struct{}, id, want string) bool {
	r.t.Helper()
	for {
		select {
		case <-dead:
			return true
		case <-time.After(time.Millisecond):
		}
		if r.status(id) == want {
			select {
			case <-dead:
				return true
			case <-time.After(10 * time.Millisecond): // a step may follow what is visible
			}
			return false
		}
	}
}

// clean fails the test when anything is left on the machine.
func (r *region) clean() {
	r.t.Helper()
	if vms, ports := r.machine.sizes(); vms > 0 || ports > 0 {
		r.t.Fatalf("left over: %d VMs, %d ports", vms, ports)
	}
}
