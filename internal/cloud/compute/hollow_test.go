package compute

import (
	"strings"
	"testing"
)

// Hollow instances live in their own driver, off the wire, and are otherwise as all.
func TestHollow(t *testing.T) {
	r := newRegion(t)
	r.Start()
	body := strings.Replace(smallest, "BV2-4-40", "HL2-4-40", 1)
	id := r.Do("POST", "/v1/instances", body, 201).JSON(t)["id"].(string)
	real := r.create()
	r.await(id, "completed/running")
	r.await(real, "completed/running")
	if hollow, _ := r.hollow.sizes(); hollow != 1 {
		t.Errorf("%d VMs in the driver of hollow ones, want 1", hollow)
	}
	if vms, _ := r.machine.sizes(); vms != 1 { // one whose port is plugged counts too
		t.Errorf("%d VMs in the other driver or on the wire, want 1", vms)
	}
	r.Do("POST", "/v1/instances/"+id+"/retype", `{"machine_type":{"name":"HL4-8-40"}}`, 204)
	r.await(id, "completed/running")
	r.Do("POST", "/v1/instances/"+id+"/retype", `{"machine_type":{"name":"BV4-8-40"}}`, 409)
	r.Do("POST", "/v1/instances", strings.Replace(body, `"name":"web"`, `"name":"web","volumes":[{"name":"data"}]`, 1), 400)

	r.Restart()
	r.Do("POST", "/v1/instances/"+id+"/stop", "", 204)
	r.await(id, "completed/stopped")
	for _, one := range []string{id, real} {
		r.Do("DELETE", "/v1/instances/"+one, "", 204)
		r.await(one, "404")
	}
	r.clean()
	if hollow, _ := r.hollow.sizes(); hollow != 0 {
		t.Errorf("left over: %d hollow VMs", hollow)
	}
}
