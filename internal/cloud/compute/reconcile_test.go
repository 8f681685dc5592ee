package compute

import (
	"errors"
	"testing"
	"time"
)

const up, down, asleep = "completed/running", "completed/stopped", "completed/suspended"

func TestLifecycle(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create()
	path := "/v1/instances/" + id
	r.await(id, up)
	r.Do("POST", path+"/start", "", 409)
	r.Do("POST", path+"/stop", "", 204)
	r.await(id, down)
	r.Do("POST", path+"/stop", "", 409)
	r.Do("POST", path+"/reboot", "", 409)
	r.Do("POST", path+"/start", "", 204)
	r.await(id, up)
	r.Do("POST", path+"/reboot", "", 204)
	r.await(id, up)
	if stops, starts := r.machine.count("stop"), r.machine.count("start"); stops != 2 || starts != 3 {
		t.Fatalf("%d stops and %d starts, want 2 and 3", stops, starts)
	}
	r.Do("DELETE", path, "null", 204)
	r.await(id, "404")
	r.Do("DELETE", path, "", 404)
	r.clean()
}

// Every operation is interrupted before every step on the machine: the daemon
// dies there, and another one takes over.
func TestDaemonDiesAtEveryStep(t *testing.T) {
	for _, op := range []operation{
		{"create", "", "", "", up},
		{"stop", up, "POST", "/stop", down},
		{"start", down, "POST", "/start", up},
		{"reboot", up, "POST", "/reboot", up},
		{"suspend", up, "POST", "/suspend", asleep},
		{"resume", asleep, "POST", "/start", up},
		{"delete", up, "DELETE", "", "404"},
	} {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			for step := 1; op.dieAt(t, step); step++ {
				if step > 20 {
					t.Fatal("the operation does not end")
				}
			}
		})
	}
}

type operation struct{ name, from, method, path, want string }

// dieAt runs the operation with a daemon that dies before a step, and tells
// whether there was that step.
func (op operation) dieAt(t *testing.T, step int) bool {
	r := newRegion(t)
	r.Start()
	id := op.prepare(r)
	dead := make(chan struct{})
	r.machine.mu.Lock()
	fatal := r.machine.next + step
	r.machine.fail = func(_ string, n int) error {
		if n < fatal {
			return nil
		}
		if n == fatal {
			close(dead)
		}
		return errors.New("the daemon died")
	}
	r.machine.mu.Unlock()
	if op.from == "" {
		id = r.create()
	} else {
		r.Do(op.method, "/v1/instances/"+id+op.path, "", 204)
	}
	reached := r.awaitOr(dead, id, op.want)
	r.Kill()
	r.machine.setFail(nil)
	r.Start()
	r.await(id, op.want)
	if op.want == "404" {
		r.clean()
	} else if vms, ports := r.machine.sizes(); vms != 1 || ports != 1 {
		t.Fatalf("step %d: %d VMs and %d ports, want one of each", step, vms, ports)
	}
	if op.name == "reboot" && r.machine.count("start") > 2 {
		t.Fatalf("step %d: it was rebooted twice", step)
	}
	r.Kill()
	return reached
}

func (op operation) prepare(r *region) string {
	if op.from == "" {
		return ""
	}
	id := r.create()
	r.await(id, up)
	if op.from == asleep {
		r.Do("POST", "/v1/instances/"+id+"/suspend", "", 204)
		r.await(id, asleep)
	}
	if op.from == down {
		r.Do("POST", "/v1/instances/"+id+"/stop", "", 204)
		r.await(id, down)
	}
	return id
}

func TestFailuresAreTriedAgain(t *testing.T) {
	r := newRegion(t)
	failures := 3
	r.machine.fail = func(call string, _ int) error {
		if call == "create" && failures > 0 {
			failures--
			return errors.New("disk busy")
		}
		return nil
	}
	r.Start()
	r.await(r.create(), up)
}

func TestErrorStatuses(t *testing.T) {
	for _, c := range []struct{ failing, action, want string }{
		{"create", "", "creating_error/error"},
		{"plug", "", "creating_error/error"},
		{"stop", "/stop", "stopping_error/running"},
		{"stop", "/reboot", "rebooting_error/stopped"},
	} {
		t.Run(c.failing+c.action, func(t *testing.T) {
			r := newRegion(t)
			broken := c.action == ""
			r.machine.setFail(func(call string, _ int) error {
				if broken && call == c.failing {
					return errors.New("secret internals")
				}
				return nil
			})
			r.Start()
			id := r.create()
			if c.action != "" {
				r.await(id, up)
				r.machine.mu.Lock()
				broken = true
				r.machine.mu.Unlock()
				r.Do("POST", "/v1/instances/"+id+c.action, "", 204)
			}
			r.await(id, c.want)
			time.Sleep(20 * time.Millisecond) // it must stay so
			r.await(id, c.want)
			view := r.Do("GET", "/v1/instances/"+id, "", 200).JSON(t)
			if e, ok := view["error"].(map[string]any); !ok || e["slug"] == "" || e["message"] == "" || e["message"] == "secret internals" {
				t.Fatalf("error of the instance: %v", view["error"])
			}
			r.machine.mu.Lock()
			broken = false
			r.machine.mu.Unlock()
			r.Do("DELETE", "/v1/instances/"+id, "", 204)
			r.await(id, "404")
			r.clean()
		})
	}
}

func TestVMEndsByItself(t *testing.T) {
	for _, c := range []struct {
		name    string
		exit    Exit
		watched bool
		want    string
	}{
		{"reboots", ExitReboot, true, up},
		{"powers off", ExitPowerOff, true, down},
		{"breaks", ExitUnknown, true, down},
		{"reboots while the daemon is away", ExitReboot, false, up},
		{"powers off while the daemon is away", ExitPowerOff, false, down},
		{"is gone after the host went down", ExitUnknown, false, up},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegion(t)
			r.Start()
			id := r.create()
			r.await(id, up)
			if !c.watched {
				r.Kill()
			}
			r.machine.end(id, c.exit)
			if !c.watched {
				r.Start()
			}
			starts := 1
			if c.want == up {
				starts = 2
			}
			for deadline := time.Now().Add(5 * time.Second); r.machine.count("start") < starts && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			r.await(id, c.want)
			if n := r.machine.count("start"); n != starts {
				t.Fatalf("started %d times, want %d", n, starts)
			}
		})
	}
}

func TestRunningVMsAreLeftAlone(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create()
	r.await(id, up)
	r.Restart()
	r.Restart()
	r.await(id, up)
	r.machine.end(id, ExitPowerOff) // the new daemon watches it too
	r.await(id, down)
	if n := r.machine.count("start"); n != 1 {
		t.Fatalf("started %d times", n)
	}
}

func TestStraysAreRemoved(t *testing.T) {
	r := newRegion(t)
	r.machine.vms["deadbeef-0000-4000-8000-000000000000"] = &fakeVM{phase: Running, ended: make(chan struct{})}
	r.Start()
	id := r.create()
	r.await(id, up)
	if vms, _ := r.machine.sizes(); vms != 1 {
		t.Fatalf("%d VMs, want only the instance's", vms)
	}
}
