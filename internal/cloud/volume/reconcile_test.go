package volume

import (
	"cmp"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/daemontest"
)

func TestWhatIsMountedStays(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	r.attach(id, vm)
	for _, used := range []map[string]bool{r.machine.mounted, r.machine.stacked} {
		r.machine.set(func() { used[id] = true })
		if a := r.Do("POST", "/v1/volumes/"+id+"/detach", "", 409); !strings.Contains(string(a.Body), "unmount it first") {
			t.Errorf("got %s", a.Body)
		}
		r.machine.set(func() { delete(used, id) })
	}
	r.Kill()
	r.Do("POST", "/v1/volumes/"+id+"/detach", "", 204)
	r.machine.set(func() { r.machine.mounted[id] = true }) // after the request
	r.Start()
	r.await("volumes", id, "detaching_error/in-use")
	if got := r.machine.devices(vm); len(got) != 1 {
		t.Errorf("the VM must keep its device: %v", got)
	}
	r.machine.set(func() { delete(r.machine.mounted, id) })
	r.Do("POST", "/v1/volumes/"+id+"/detach", "", 204)
	r.await("volumes", id, "completed/available")
	if e := r.Do("GET", "/v1/volumes/"+id, "", 200).JSON(t)["error"]; e != nil {
		t.Errorf("the error must be gone: %v", e)
	}
}

func TestVolumesFollowTheirInstance(t *testing.T) {
	r := newRegion(t)
	ctx, id := t.Context(), r.create("data")
	r.attach(id, vm)
	r.machine.set(func() { r.machine.mounted[id], r.machine.stacked[id] = true, true })
	r.machine.off(vm)
	if err := r.Service().Unplug(ctx, vm); err != nil || r.machine.stacked[id] {
		t.Errorf("what lies upon it must go with the VM: %v", err)
	}
	r.Restart()
	r.machine.set(func() { clear(r.machine.open) }) // the host was restarted
	r.machine.set(func() { r.machine.instances[vm].phase = "running" })
	if err := r.Service().Plug(ctx, vm); err != nil {
		t.Fatal(err)
	}
	if got := r.machine.devices(vm); len(got) != 1 || r.status("volumes", id) != "completed/in-use" {
		t.Errorf("a started VM must have its volume again: %v", got)
	}
	r.machine.set(func() { r.machine.stacked[id] = true })
	r.machine.set(func() { delete(r.machine.instances, vm) })
	if err := r.Service().Release(ctx, vm); err != nil {
		t.Fatal(err)
	}
	r.await("volumes", id, "completed/available")
	r.attach(id, otherVM)
}

func TestAnInstanceThatIsGoneAtTheStartLosesItsVolumes(t *testing.T) {
	r := newRegion(t)
	id, stray := r.create("data"), r.create("stray")
	r.attach(id, vm)
	r.Kill()
	r.machine.set(func() {
		delete(r.machine.instances, vm)
		r.machine.open[stray] = 99 // nobody has it
	})
	r.Start()
	r.await("volumes", id, "completed/available")
	if len(r.machine.open) > 0 || len(r.machine.disks) != 2 {
		t.Errorf("devices %v, disks %v", r.machine.open, r.machine.disks)
	}
}

func TestFailuresEndInTheirErrorStatus(t *testing.T) {
	for call, c := range map[string]struct{ path, body, want string }{
		"create":      {"", "", "creating_error/new"},
		"set-devices": {"/attach/" + vm, "", "attaching_error/available"},
		"resize":      {"/extend", `{"size":20}`, "extend_error/available"},
	} {
		r := newRegion(t)
		fail := func() {
			r.machine.setFail(func(name string, _ int) error {
				if name == call {
					return errors.New("broken")
				}
				return nil
			})
		}
		if c.path == "" {
			fail()
			id := r.Do("POST", "/v1/volumes", `{"name":"data","size":10,"type":{"name":"cloud_nvme5k"}}`, 202).JSON(t)["id"].(string)
			r.await("volumes", id, c.want)
			r.Do("DELETE", "/v1/volumes/"+id, "", 204)
			r.await("volumes", id, "404")
			continue
		}
		id := r.create("data")
		fail()
		r.Do("POST", "/v1/volumes/"+id+c.path, c.body, 204)
		r.await("volumes", id, c.want)
		r.machine.setFail(nil)
		r.Do("POST", "/v1/volumes/"+id+c.path, c.body, 204) // can be tried again
		r.await("volumes", id, map[bool]string{true: "completed/in-use", false: "completed/available"}[call == "set-devices"])
	}
}

// life takes a volume from its creation to its deletion, by calls that are
// repeated until they show, and stops early when dead is closed.
func (r *region) life(dead <-chan struct{}) (finished bool) {
	volumeID := func() string { return r.idOf("volumes", "data") }
	snapshotID := func() string { return r.idOf("snapshots", "snap") }
	size := func() any { return r.Do("GET", "/v1/volumes/"+volumeID(), "", 200).JSON(r.t)["size"] }
	is := func(want string) func() bool { return func() bool { return r.status("volumes", volumeID()) == want } }
	for _, step := range []struct {
		ask  func() daemontest.Answer
		done func() bool
	}{
		{func() daemontest.Answer {
			return r.As(daemontest.Tenant, "POST", "/v1/volumes", `{"name":"data","size":10,"type":{"name":"cloud_nvme5k"}}`)
		}, func() bool {
			id := volumeID()
			return id != "" && strings.HasPrefix(r.status("volumes", id), "completed/")
		}},
		{func() daemontest.Answer {
			return r.As(daemontest.Tenant, "POST", "/v1/volumes/"+volumeID()+"/attach/"+vm, "")
		}, is("completed/in-use")},
		{func() daemontest.Answer {
			return r.As(daemontest.Tenant, "POST", "/v1/snapshots", `{"name":"snap","description":"","volume":{"name":"data"}}`)
		}, func() bool { id := snapshotID(); return id != "" && r.status("snapshots", id) == "completed/available" }},
		{func() daemontest.Answer {
			return r.As(daemontest.Tenant, "POST", "/v1/volumes/"+volumeID()+"/extend", `{"size":20}`)
		}, func() bool { return size() == 20.0 }},
		{func() daemontest.Answer {
			return r.As(daemontest.Tenant, "POST", "/v1/volumes/"+volumeID()+"/detach", "")
		}, is("completed/available")},
		{func() daemontest.Answer {
			return r.As(daemontest.Tenant, "DELETE", "/v1/snapshots/"+cmp.Or(snapshotID(), "gone"), "")
		}, func() bool { return snapshotID() == "" }},
		{func() daemontest.Answer {
			return r.As(daemontest.Tenant, "DELETE", "/v1/volumes/"+cmp.Or(volumeID(), "gone"), "")
		}, func() bool { return volumeID() == "" }},
	} {
		for !step.done() {
			select {
			case <-dead:
				return false
			case <-time.After(time.Millisecond):
				step.ask()
			}
		}
	}
	return true
}

// idOf returns the id of the volume or snapshot with the name; empty when there is none.
func (r *region) idOf(kind, name string) string {
	r.t.Helper()
	for _, item := range r.Do("GET", "/v1/"+kind+"?name="+name, "", 200).JSON(r.t)[kind].([]any) {
		return item.(map[string]any)["id"].(string)
	}
	return ""
}

// Whatever call of the drivers is the last one of a daemon, the next daemon gets everything done.
func TestKilledAnywhere(t *testing.T) {
	r := newRegion(t)
	for last := 1; ; last++ {
		r.Kill()
		r.machine.next = 0
		dead, once := make(chan struct{}), sync.Once{}
		r.machine.setFail(func(_ string, n int) error {
			if n <= last {
				return nil
			}
			once.Do(func() { close(dead) })
			return errors.New("killed")
		})
		r.retry = time.Hour
		r.Start()
		finished := r.life(dead)
		if !finished {
			r.Kill()
			r.machine.setFail(nil)
			r.retry = 0
			r.Start()
			r.life(nil)
		}
		if len(r.machine.disks)+len(r.machine.snapshots)+len(r.machine.open)+len(r.machine.devices(vm)) > 0 {
			t.Fatalf("killed after %d calls: left over %v %v %v", last, r.machine.disks, r.machine.snapshots, r.machine.open)
		}
		if finished {
			return
		}
	}
}
