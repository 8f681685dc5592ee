package volume

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/daemontest"
)

func TestVolumeFromCreationToDeletion(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	r.attach(id, vm)
	want := []string{"vdb " + id[:20] + " 5000"}
	if got := r.machine.devices(vm); !slices.Equal(got, want) {
		t.Errorf("the VM has %v, want %v", got, want)
	}
	v := r.Do("GET", "/v1/volumes/"+id+"?expand=volume_type,attachment", "", 200).JSON(t)
	attachment := v["attachment"].(map[string]any)
	if attachment["device"] != "/dev/vdb" || attachment["instance"].(map[string]any)["name"] != "vm" || v["type"].(map[string]any)["name"] != "cloud_nvme5k" {
		t.Errorf("expanded: %v", v)
	}
	r.Do("POST", "/v1/volumes/"+id+"/extend", `{"size":12}`, 204) // also while it is attached
	r.await("volumes", id, "completed/in-use")
	r.Do("POST", "/v1/volumes/"+id+"/retype", `{"new_type":{"name":"cloud_nvme20k"}}`, 204)
	r.await("volumes", id, "completed/in-use")
	if got := r.machine.devices(vm); got[0] != "vdb "+id[:20]+" 20000" || r.machine.disks[id] != 12*gib {
		t.Errorf("after extend and retype: %v, %d", got, r.machine.disks[id])
	}
	r.Do("PATCH", "/v1/volumes/"+id+"/rename", `{"name":"data-2"}`, 204)
	r.Do("DELETE", "/v1/volumes/"+id, "", 409)
	r.Do("DELETE", "/v1/attachments/"+id, "", 204)
	r.await("volumes", id, "completed/available")
	if got := r.machine.devices(vm); len(got) > 0 || len(r.machine.open) > 0 {
		t.Errorf("after detach: %v, %v", got, r.machine.open)
	}
	r.Do("POST", "/v1/attachments", `{"volume":{"id":"`+id+`"},"instance":{"id":"`+vm+`"},"device":"/dev/vdc"}`, 204)
	r.await("volumes", id, "completed/in-use")
	if got := r.machine.devices(vm); len(got) != 1 || !strings.HasPrefix(got[0], "vdc ") {
		t.Errorf("at a wanted place: %v", got)
	}
	r.Do("POST", "/v1/volumes/"+id+"/detach", "", 204)
	r.await("volumes", id, "completed/available")
	r.Do("DELETE", "/v1/volumes/"+id, "", 204)
	r.await("volumes", id, "404")
	if len(r.machine.disks) > 0 {
		t.Errorf("left over: %v", r.machine.disks)
	}
}

func TestRefused(t *testing.T) {
	r := newRegion(t)
	id, other := r.create("data"), r.create("other")
	r.attach(other, vm)
	volume, path := func(extra string) string {
		return `{"name":"new","size":10,"type":{"name":"cloud_nvme1k"}` + extra + `}`
	}, "/v1/volumes/"+id
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"POST", "/v1/volumes", `{"name":"new","size":9,"type":{"name":"cloud_nvme1k"}}`, 422, "Input should be greater than or equal to 10"},
		{"POST", "/v1/volumes", `{"name":"new","type":{"name":"cloud_nvme1k"}}`, 422, "size: Field required"},
		{"POST", "/v1/volumes", `{"name":"ab","size":10,"type":{"name":"cloud_nvme1k"}}`, 422, "at least 3"},
		{"POST", "/v1/volumes", `{"name":"` + strings.Repeat("x", 51) + `","size":10,"type":{"name":"cloud_nvme1k"}}`, 422, "at most 50"},
		{"POST", "/v1/volumes", `{"name":"new","size":10}`, 422, "type: Field required"},
		{"POST", "/v1/volumes", `{"name":"new","size":10,"type":{"name":"cloud_hdd"}}`, 404, "volume type not found"},
		{"POST", "/v1/volumes", `{"name":"data","size":10,"type":{"name":"cloud_nvme1k"}}`, 409, "already exists"},
		{"POST", "/v1/volumes", volume(`,"encrypted":true`), 422, "encryption"},
		{"POST", "/v1/volumes", volume(`,"availability_zone":"br-ne1-a"`), 422, "does not exist"},
		{"POST", "/v1/volumes", volume(`,"snapshot":{"name":"none"}`), 404, "snapshot not found"},
		{"POST", "/v1/volumes", `{"name":"new","size":1000,"type":{"name":"cloud_nvme1k"}}`, 409, "no room"},
		{"PATCH", path + "/rename", `{"name":"other"}`, 409, "already exists"},
		{"POST", path + "/extend", `{"size":10}`, 422, "greater than 10"},
		{"POST", path + "/extend", `{"size":1000}`, 409, "no room"},
		{"POST", path + "/retype", `{"new_type":{"id":"x"}}`, 404, "volume type not found"},
		{"POST", path + "/detach", "", 409, "its state is available"},
		{"POST", path + "/attach/" + farVM, "", 409, "same availability zone"},
		{"POST", path + "/attach/" + alienVM, "", 404, "instance not found"},
		{"POST", "/v1/volumes/" + other + "/attach/" + otherVM, "", 409, "its state is in-use"},
		{"POST", "/v1/attachments", `{"volume":{"id":"` + id + `"},"instance":{"id":"` + vm + `"},"device":"/dev/vdb"}`, 409, "another volume at /dev/vdb"},
		{"POST", "/v1/attachments", `{"volume":{"id":"` + id + `"},"instance":{"id":"` + vm + `"},"device":"/dev/vda"}`, 422, "/dev/vdb to /dev/vdz"},
		{"POST", "/v1/attachments", `{"volume":{"id":"` + id + `"}}`, 422, "instance.id"},
		{"POST", "/v1/snapshots", `{"name":"new","description":""}`, 422, "either volume or source_snapshot"},
		{"POST", "/v1/snapshots", `{"name":"new","description":"","type":"tape","volume":{"id":"` + id + `"}}`, 422, "'instant' or 'object'"},
		{"POST", "/v1/snapshots", `{"name":"new","description":"","volume":{"id":"` + vm + `"}}`, 404, "volume not found"},
		{"POST", "/v1/snapshots/" + vm + "/copy", `{"destination_region":"br-ne1"}`, 501, "another region"},
		{"POST", "/v1/schedulers", `{}`, 422, "name: Field required"},
		{"GET", "/v1/volumes?_sort=secret:asc", "", 422, "_sort"},
	} {
		a := r.As(daemontest.Tenant, c.method, c.path, c.body)
		if a.Status != c.status || !strings.Contains(string(a.Body), c.text) {
			t.Errorf("%s %s %s: got %d %s, want %d %q", c.method, c.path, c.body, a.Status, a.Body, c.status, c.text)
		}
		if strings.Contains(c.path, "_sort") != strings.HasPrefix(string(a.Body), "{") {
			t.Errorf("%s %s: the shape of %s", c.method, c.path, a.Body)
		}
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	snapshot := r.snapshot("snap", id, "completed/available")
	for _, c := range [][3]string{
		{"GET", "/v1/volumes/" + id}, {"DELETE", "/v1/volumes/" + id}, {"POST", "/v1/volumes/" + id + "/detach"},
		{"POST", "/v1/volumes/" + id + "/attach/" + alienVM}, {"POST", "/v1/volumes/" + id + "/extend", `{"size":20}`},
		{"PATCH", "/v1/volumes/" + id + "/rename", `{"name":"mine"}`},
		{"GET", "/v1/snapshots/" + snapshot}, {"DELETE", "/v1/snapshots/" + snapshot}, {"PATCH", "/v1/snapshots/" + snapshot + "/rename", `{"name":"mine"}`},
		{"POST", "/v1/volumes", `{"name":"copy","size":10,"type":{"name":"cloud_nvme1k"},"snapshot":{"id":"` + snapshot + `"}}`},
		{"POST", "/v1/snapshots", `{"name":"copy","description":"","volume":{"id":"` + id + `"}}`},
	} {
		if a := r.As(foreign, c[0], c[1], c[2]); a.Status != 404 {
			t.Errorf("%s %s: got %d", c[0], c[1], a.Status)
		}
	}
	if a := r.As(foreign, "POST", "/v1/volumes", `{"name":"data","size":10,"type":{"name":"cloud_nvme1k"}}`); a.Status != 202 {
		t.Errorf("names are a tenant's own: %d", a.Status)
	}
}

func TestLists(t *testing.T) {
	r := newRegion(t)
	for i := range 5 {
		r.create(fmt.Sprintf("vol-%d", i))
	}
	page := r.Do("GET", "/v1/volumes?_limit=2&_offset=2&_sort=name:desc", "", 200).JSON(t)
	volumes := page["volumes"].([]any)
	if len(volumes) != 2 || volumes[0].(map[string]any)["name"] != "vol-2" || page["meta"].(map[string]any)["page"].(map[string]any)["total"] != 5.0 {
		t.Errorf("got %v", page)
	}
	if found := r.Do("GET", "/v1/volumes?name=vol-3", "", 200).JSON(t)["volumes"].([]any); len(found) != 1 {
		t.Errorf("by name: %v", found)
	}
	for query, want := range map[string]int{"": 5, "?name=cloud_nvme10k": 1, "?availability-zone=br-se1-b": 5, "?availability-zone=x": 0, "?allows-encryption=true": 0} {
		if types := r.Do("GET", "/v1/volume-types"+query, "", 200).JSON(t)["types"].([]any); len(types) != want {
			t.Errorf("types%s: %d, want %d", query, len(types), want)
		}
	}
}

// However long a list is, an expansion costs one look-up.
func TestListsExpand(t *testing.T) {
	r := newRegion(t)
	first, second, loose := r.create("vol-1"), r.create("vol-2"), r.create("vol-3")
	r.attach(first, vm)
	r.attach(second, otherVM)
	r.snapshot("snap-1", first, "completed/available")
	r.snapshot("snap-2", loose, "completed/available")

	field := func(item any, path ...string) any {
		for _, name := range path {
			object, _ := item.(map[string]any)
			item = object[name]
		}
		return item
	}
	list := func(kind, query string) []any { return r.Do("GET", "/v1/"+kind+query, "", 200).JSON(t)[kind].([]any) }
	r.machine.set(func() { r.machine.lookups = 0 })
	for i, want := range []any{vm, otherVM, nil} {
		v := list("volumes", "?expand=attachment&_sort=name:asc")[i]
		if got := field(v, "attachment", "instance", "id"); got != want {
			t.Errorf("volume %d is attached to %v, want %v", i, got, want)
		}
		if want != nil && field(v, "attachment", "instance", "state") != "running" {
			t.Errorf("volume %d is not expanded: %v", i, v)
		}
		if field(list("volumes", "?_sort=name:asc")[i], "attachment", "instance", "state") != nil {
			t.Errorf("volume %d is expanded unasked", i)
		}
	}
	r.machine.set(func() {
		if r.machine.lookups != 3 {
			t.Errorf("3 lists looked instances up %d times", r.machine.lookups)
		}
		delete(r.machine.instances, otherVM) // just now
	})
	if got := field(list("volumes", "?expand=attachment&name=vol-2")[0], "attachment", "instance", "id"); got != otherVM {
		t.Errorf("an instance that is gone is shown by its id, got %v", got)
	}
	for i, want := range []string{"vol-1", "vol-3"} {
		if got := field(list("snapshots", "?expand=volume&_sort=name:asc")[i], "volume", "name"); got != want {
			t.Errorf("snapshot %d is of %v, want %s", i, got, want)
		}
	}
}

func TestAnInstanceHas25Volumes(t *testing.T) {
	r := newRegion(t)
	for i := range maxVolumes {
		r.attach(r.create(fmt.Sprintf("vol-%d", i)), vm)
	}
	if got := r.machine.devices(vm); len(got) != maxVolumes || !strings.HasPrefix(got[24], "vdz ") {
		t.Errorf("got %v", got)
	}
	if a := r.Do("POST", "/v1/volumes/"+r.create("more")+"/attach/"+vm, "", 409); !strings.Contains(string(a.Body), "25 volumes") {
		t.Errorf("got %s", a.Body)
	}
}

func TestSnapshots(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	r.attach(id, vm)
	snapshot := r.snapshot("snap", id, "completed/available")
	r.Do("POST", "/v1/snapshots", `{"name":"snap","description":"","volume":{"id":"`+id+`"}}`, 409)
	r.Do("POST", "/v1/volumes", `{"name":"far","size":10,"type":{"name":"cloud_nvme1k"},"availability_zone":"br-se1-b","snapshot":{"id":"`+snapshot+`"}}`, 409)
	restored := r.Do("POST", "/v1/volumes", `{"name":"copy","size":11,"type":{"name":"cloud_nvme1k"},"snapshot":{"name":"snap"}}`, 202).JSON(t)["id"].(string)
	r.await("volumes", restored, "completed/available")
	r.Do("DELETE", "/v1/snapshots/"+snapshot, "", 409) // a volume was made from it
	object := r.Do("POST", "/v1/snapshots", `{"name":"obj","description":"","source_snapshot":{"name":"snap"},"type":"object"}`, 202).JSON(t)["id"].(string)
	r.await("snapshots", object, "completed/available")
	r.Do("PATCH", "/v1/snapshots/"+object+"/rename", `{"name":"snap"}`, 409)
	r.Do("PATCH", "/v1/snapshots/"+object+"/rename", `{"name":"everywhere"}`, 204)
	v := r.Do("GET", "/v1/snapshots/"+object+"?expand=volume", "", 200).JSON(t)
	if v["name"] != "everywhere" || len(v["availability_zones"].([]any)) != 3 || v["volume"].(map[string]any)["name"] != "data" {
		t.Errorf("got %v", v)
	}
	if found := r.Do("GET", "/v1/snapshots?type=object", "", 200).JSON(t)["snapshots"].([]any); len(found) != 1 {
		t.Errorf("by type: %v", found)
	}
	r.Do("POST", "/v1/volumes/"+id+"/detach", "", 204)
	r.await("volumes", id, "completed/available")
	r.Do("DELETE", "/v1/volumes/"+id, "", 409) // it has snapshots
	r.Do("DELETE", "/v1/volumes/"+restored, "", 204)
	r.await("volumes", restored, "404")
	for _, n := range []string{snapshot, object} {
		r.Do("DELETE", "/v1/snapshots/"+n, "", 204)
		r.await("snapshots", n, "404")
	}
	r.Do("DELETE", "/v1/volumes/"+id, "", 204)
	r.await("volumes", id, "404")
	if len(r.machine.disks)+len(r.machine.snapshots) > 0 {
		t.Errorf("left over: %v %v", r.machine.disks, r.machine.snapshots)
	}
}

func TestAFullDiskIsACleanError(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	snapshot := r.snapshot("snap", id, "completed/available")
	r.Kill()
	r.Do("POST", "/v1/volumes", `{"name":"copy","size":10,"type":{"name":"cloud_nvme1k"},"snapshot":{"id":"`+snapshot+`"}}`, 202)
	r.Do("POST", "/v1/snapshots", `{"name":"late","description":"","volume":{"id":"`+id+`"}}`, 202)
	r.machine.set(func() { r.machine.full = true })
	r.Do("POST", "/v1/volumes", `{"name":"new","size":10,"type":{"name":"cloud_nvme1k"}}`, 409)
	r.Start()
	for kind, name := range map[string]string{"volumes": "copy", "snapshots": "late"} {
		item := r.Do("GET", "/v1/"+kind+"?name="+name, "", 200).JSON(t)[kind].([]any)[0].(map[string]any)
		r.await(kind, item["id"].(string), "creating_error_quota/new")
		if e := r.Do("GET", "/v1/"+kind+"/"+item["id"].(string), "", 200).JSON(t)["error"].(map[string]any); e["slug"] != "creating_error_quota" {
			t.Errorf("%s: %v", kind, e)
		}
		r.Do("DELETE", "/v1/"+kind+"/"+item["id"].(string), "", 204)
		r.await(kind, item["id"].(string), "404")
	}
}

func TestASnapshotOfABusyVolumePausesAndThenFails(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	r.attach(id, vm)
	r.machine.set(func() { r.machine.busy, r.machine.instances[vm].paused = true, true }) // a killed daemon left it paused
	r.snapshot("snap", id, "creating_error/new")
	r.machine.set(func() {
		if r.machine.instances[vm].paused {
			t.Error("the VM must go on")
		}
	})
}
