package compute

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/daemontest"
	"magalu.cloud/mke/internal/cloud/store"
)

const foreign = "99999999-9999-4999-8999-999999999999"

// region is a database and a machine, with daemons that come and go.
type region struct {
	*daemontest.Daemon[*Service]
	t        *testing.T
	machine  *machine
	hollow   *machine // of the driver that needs no wire
	contract contracttest.Checker
}

func newRegion(t *testing.T) *region {
	t.Helper()
	r := &region{t: t, machine: newMachine(), hollow: newMachine(), contract: contracttest.Load(t, "virtual-machine")}
	r.Daemon = daemontest.New(t, r.contract, func(ctx context.Context, db *store.DB) (*Service, error) {
		s, err := New(ctx, db, Config{
			Zones: []string{"br-se1-a", "br-se1-b", "br-se1-c"}, Driver: fakeDriver{r.machine}, Hollow: fakeHollow{fakeDriver{r.hollow}}, Images: fakeImages{},
			Network: fakeNetwork{r.machine}, Volumes: fakeVolumes{r.machine}, SSHKeys: fakeKeys{}, Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			s.pool = s.newPool(time.Millisecond, 5*time.Millisecond)
		}
		return s, err
	})
	r.Header.Set("x-api-version", "1.1")
	return r
}

const smallest = `{"name":"web","machine_type":{"name":"BV2-4-40"},"image":{"name":"img"},"network":{"associate_public_ip":false}}`

func (r *region) create() string {
	r.t.Helper()
	return r.Do("POST", "/v1/instances", smallest, 201).JSON(r.t)["id"].(string)
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
	a := r.As(daemontest.Tenant, "GET", "/v1/instances/"+id, "")
	if a.Status != http.StatusOK {
		return strconv.Itoa(a.Status)
	}
	v := a.JSON(r.t)
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
