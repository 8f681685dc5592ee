package volume

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

const (
	foreign = "99999999-9999-4999-8999-999999999999"
	vm      = "0a000000-0000-4000-8000-000000000001"
	otherVM = "0a000000-0000-4000-8000-000000000002"
	farVM   = "0a000000-0000-4000-8000-000000000003" // in another zone
	alienVM = "0a000000-0000-4000-8000-000000000004" // of another tenant
)

// region is a database and a machine, with daemons that come and go.
type region struct {
	*daemontest.Daemon[*Service]
	t        *testing.T
	machine  *machine
	contract contracttest.Checker
	retry    time.Duration // the first pause between tries; default 1 ms
}

func newRegion(t *testing.T) *region {
	t.Helper()
	r := &region{t: t, machine: newMachine(), contract: contracttest.Load(t, "block-storage")}
	for id, zone := range map[string]string{vm: "br-se1-a", otherVM: "br-se1-a", farVM: "br-se1-b"} {
		r.machine.add(id, daemontest.Tenant, zone)
	}
	r.machine.add(alienVM, foreign, "br-se1-a")
	r.Daemon = daemontest.New(t, r.contract, func(ctx context.Context, db *store.DB) (*Service, error) {
		s, err := New(ctx, db, Config{
			Zones: []string{"br-se1-a", "br-se1-b", "br-se1-c"}, Driver: fakeDriver{r.machine}, Machines: fakeMachines{r.machine},
			Instances: r.machine.find, Logger: slog.New(slog.DiscardHandler),
		})
		if err == nil {
			s.pool = s.newPool(max(r.retry, time.Millisecond), max(r.retry, 5*time.Millisecond))
		}
		return s, err
	})
	r.Start()
	return r
}

// create creates a volume of 10 GiB and waits for it.
func (r *region) create(name string) string {
	r.t.Helper()
	id := r.Do("POST", "/v1/volumes", `{"name":"`+name+`","size":10,"type":{"name":"cloud_nvme5k"}}`, 202).JSON(r.t)["id"].(string)
	r.await("volumes", id, "completed/available")
	return id
}

func (r *region) attach(id, instance string) {
	r.t.Helper()
	r.Do("POST", "/v1/volumes/"+id+"/attach/"+instance, "", 204)
	r.await("volumes", id, "completed/in-use")
}

// snapshot takes a snapshot and waits until it is as wanted.
func (r *region) snapshot(name, volumeID, want string) string {
	r.t.Helper()
	id := r.Do("POST", "/v1/snapshots", `{"name":"`+name+`","description":"","volume":{"id":"`+volumeID+`"}}`, 202).JSON(r.t)["id"].(string)
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
	a := r.As(daemontest.Tenant, "GET", "/v1/"+kind+"/"+id, "")
	if a.Status != http.StatusOK {
		return strconv.Itoa(a.Status)
	}
	v := a.JSON(r.t)
	return v["status"].(string) + "/" + v["state"].(string)
}
