package compute

import (
	"errors"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/daemontest"
)

func (r *region) paused(id string) bool {
	r.machine.mu.Lock()
	defer r.machine.mu.Unlock()
	return r.machine.vm(id).paused
}

func TestSuspend(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create()
	path := "/v1/instances/" + id
	r.await(id, up)
	r.Do("POST", path+"/suspend", "", 204)
	r.await(id, asleep)
	if !r.paused(id) {
		t.Error("the VM's processes must not run")
	}
	r.Do("POST", path+"/suspend", "", 409)
	r.Do("POST", path+"/stop", "", 409)
	r.Do("POST", path+"/retype", `{"machine_type":{"name":"BV8-16-40"}}`, 409)
	r.Restart()
	r.Do("POST", path+"/start", "", 204)
	r.await(id, up)
	if r.paused(id) || r.machine.count("start") != 1 {
		t.Error("it must go on where it was")
	}

	// What is in memory is lost with the VM.
	r.Do("POST", path+"/suspend", "", 204)
	r.await(id, asleep)
	r.machine.end(id, ExitUnknown)
	r.await(id, down)
	r.Do("POST", path+"/start", "", 204)
	r.await(id, up)

	r.Do("POST", path+"/suspend", "", 204)
	r.await(id, asleep)
	r.Do("DELETE", path, "", 204)
	r.await(id, "404")
	r.clean()
}

func TestAFailedSuspensionLeavesTheInstanceRunning(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create()
	r.await(id, up)
	r.machine.setFail(func(call string, _ int) error {
		if call == "pause" {
			return errors.New("frozen for ever")
		}
		return nil
	})
	r.Do("POST", "/v1/instances/"+id+"/suspend", "", 204)
	r.await(id, "suspending_error/running")
	r.machine.setFail(nil)
	r.Do("POST", "/v1/instances/"+id+"/suspend", "", 204)
	r.await(id, asleep)
}

func TestRetype(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create() // BV2-4-40
	path := "/v1/instances/" + id
	r.await(id, up)
	vcpus := func() int {
		r.machine.mu.Lock()
		defer r.machine.mu.Unlock()
		return r.machine.vm(id).vcpus
	}
	for body, status := range map[string]int{
		`{}`: 422, `{"machine_type":{}}`: 422, `{"machine_type":{"name":"XX"}}`: 400, `{"machine_type":{"name":"BV4-8-20"}}`: 409,
	} {
		r.Do("POST", path+"/retype", body, status)
	}
	r.Do("POST", path+"/retype", `{"machine_type":{"name":"BV4-8-40"}}`, 204)
	r.await(id, up)
	if vcpus() != 4 || r.machine.count("stop") != 1 || r.machine.count("start") != 2 {
		t.Errorf("%d vCPUs after a running instance was retyped", vcpus())
	}
	r.Do("POST", path+"/stop", "", 204)
	r.await(id, down)
	r.Do("POST", path+"/retype", `{"machine_type":{"name":"BV8-16-100"}}`, 204)
	r.await(id, down)
	r.Do("POST", path+"/start", "", 204)
	r.await(id, up)
	if name := r.Do("GET", path, "", 200).JSON(t)["machine_type"].(map[string]any)["name"]; vcpus() != 8 || name != "BV8-16-100" {
		t.Errorf("%d vCPUs, %v after a stopped instance was retyped", vcpus(), name)
	}
}

// port makes a free port, as a user of the network product does.
func (r *region) port(id string) {
	r.machine.mu.Lock()
	defer r.machine.mu.Unlock()
	r.machine.ports[id] = PortRequest{TenantID: daemontest.Tenant, Name: "extra"}
}

func (r *region) further(id string) furtherPort {
	r.machine.mu.Lock()
	defer r.machine.mu.Unlock()
	return r.machine.further[id]
}

func TestNetworkInterfaces(t *testing.T) {
	r := newRegion(t)
	r.Start()
	id := r.create()
	r.await(id, up)
	const extra, other = "0e000000-0000-4000-8000-000000000001", "0e000000-0000-4000-8000-000000000002"
	r.port(extra)
	r.port(other)
	const attach, detach = "/v1/instances/network-interface/attach", "/v1/instances/network-interface/detach"
	body := func(instance, port string) string {
		return `{"instance":` + instance + `,"network":{"interface":{"id":"` + port + `"}}}`
	}
	own := `{"id":"` + id + `"}`
	for text, status := range map[string]int{`{}`: 422, `{"instance":` + own + `}`: 422, body(`{}`, extra): 422, body(`{"id":"x"}`, extra): 404,
		body(`{"name":"x"}`, extra): 404, body(own, "x"): 404, body(own, strings.Repeat("x", 256)): 422} {
		r.Do("POST", attach, text, status)
	}
	if a := r.As(foreign, "POST", attach, body(own, extra)); a.Status != 404 {
		t.Errorf("a foreign instance: %d", a.Status)
	}
	r.Do("POST", attach, body(`{"name":"web"}`, extra), 204)
	r.await(id, up)
	if !r.further(extra).plugged {
		t.Error("it must be plugged when the instance is completed again")
	}
	interfaces := r.Do("GET", "/v1/instances/"+id, "", 200).JSON(t)["network"].(map[string]any)["interfaces"].([]any)
	if len(interfaces) != 2 || interfaces[0].(map[string]any)["primary"] != true || interfaces[1].(map[string]any)["id"] != extra || interfaces[1].(map[string]any)["primary"] != false {
		t.Errorf("interfaces: %v", interfaces)
	}
	r.Do("POST", detach, body(own, other), 409)
	r.Do("POST", detach, body(own, extra), 204)
	r.await(id, up)
	if got := r.further(extra); got.instance != "" {
		t.Errorf("detached: %+v", got)
	}

	// A stopped instance gets them when it starts; deletion gives them back.
	r.Do("POST", "/v1/instances/"+id+"/stop", "", 204)
	r.await(id, down)
	r.Do("POST", attach, body(own, other), 204)
	r.await(id, down)
	r.Do("POST", "/v1/instances/"+id+"/start", "", 204)
	r.await(id, up)
	if !r.further(other).plugged {
		t.Error("it must be plugged when the instance runs")
	}
	r.Do("DELETE", "/v1/instances/"+id, "", 204)
	r.await(id, "404")
	if vms, ports := r.machine.sizes(); vms != 0 || ports != 2 || r.further(other).instance != "" {
		t.Errorf("left: %d VMs, %d ports; the user's two ports stay", vms, ports)
	}
}

func TestCreateWithVolumes(t *testing.T) {
	r := newRegion(t)
	r.Start()
	body := `{"name":"web","machine_type":{"name":"BV2-4-40"},"image":{"name":"img"},"volumes":[{"name":"data"}]}`
	id := r.Do("POST", "/v1/instances", body, 201).JSON(t)["id"].(string)
	r.await(id, up)
	r.Do("POST", "/v1/instances", strings.Replace(body, "data", "other", 1), 404)
	r.Do("POST", "/v1/instances", body, 409) // it has it already: nothing is made
	r.machine.mu.Lock()
	defer r.machine.mu.Unlock()
	if r.machine.claimed != id || r.machine.woken != 1 {
		t.Errorf("claimed by %s, woken %d times", r.machine.claimed, r.machine.woken)
	}
}
