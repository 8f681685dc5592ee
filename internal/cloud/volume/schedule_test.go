package volume

import (
	"database/sql"
	"strings"
	"testing"
	"time"
)

// firstNight is half a day away, so that the time of day at which the tests run does not matter.
var firstNight = time.Now().UTC().Add(12 * time.Hour).Truncate(time.Second)

var nightly = `{"name":"nightly","description":"every night","snapshot":{"type":"object"},
	"policy":{"retention_in_days":2,"frequency":{"daily":{"start_time":"` + firstNight.Format(time.TimeOnly) + `"}}}}`

// night returns a time, days after the first night.
func night(days int, after time.Duration) time.Time { return firstNight.AddDate(0, 0, days).Add(after) }

func (r *region) tick(now time.Time) {
	r.t.Helper()
	if err := r.Service().runSchedules(r.t.Context(), now); err != nil {
		r.t.Fatal(err)
	}
}

func (r *region) snapshots() []any {
	r.t.Helper()
	return r.Do("GET", "/v1/snapshots?_sort=name:asc", "", 200).JSON(r.t)["snapshots"].([]any)
}

func TestSchedulersTakeAndRemoveSnapshots(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	scheduler := r.Do("POST", "/v1/schedulers", nightly, 201).JSON(t)["id"].(string)
	path := "/v1/schedulers/" + scheduler
	r.Do("POST", "/v1/schedulers", nightly, 409)
	r.Do("POST", path+"/attach", `{"volume":{"name":"data"}}`, 204)
	r.Do("POST", path+"/attach", `{"volume":{"id":"`+id+`"}}`, 204) // again
	r.Do("POST", path+"/attach", `{"volume":{"id":"x"}}`, 404)
	view := r.Do("GET", path, "", 200).JSON(t)
	if ids := view["volumes"].([]any); len(ids) != 1 || ids[0] != id {
		t.Errorf("its volumes: %v", ids)
	}
	if page := r.Do("GET", "/v1/schedulers?_limit=1&_offset=0&expand=volume", "", 200).JSON(t); len(page["schedulers"].([]any)) != 1 {
		t.Errorf("page: %v", page)
	}

	r.tick(time.Now())
	r.tick(night(0, -time.Second))
	if got := r.snapshots(); len(got) != 0 {
		t.Fatalf("before their time: %v", got)
	}
	for range 3 { // once a day, however often it is looked at
		r.tick(night(0, time.Minute))
	}
	got := r.snapshots()
	if len(got) != 1 {
		t.Fatalf("after the first night: %v", got)
	}
	first := got[0].(map[string]any)
	r.await("snapshots", first["id"].(string), "completed/available")
	if first["creation_type"] != "scheduled" || first["type"] != "object" || len(first["name"].(string)) > maxName {
		t.Errorf("the snapshot: %v", first)
	}
	r.Restart()
	r.tick(night(1, 5*time.Hour)) // the daemon was away at the time
	if got := r.snapshots(); len(got) != 2 {
		t.Fatalf("after the second night: %v", got)
	}

	// A snapshot from which a volume was made stays until that is gone.
	r.await("snapshots", r.snapshots()[1].(map[string]any)["id"].(string), "completed/available")
	copied := r.Do("POST", "/v1/volumes", `{"name":"copy","size":10,"type":{"name":"cloud_nvme1k"},"snapshot":{"id":"`+first["id"].(string)+`"}}`, 202).JSON(t)["id"].(string)
	r.await("volumes", copied, "completed/available")
	r.Do("POST", path+"/detach", `{"volume":{"id":"`+id+`"}}`, 204)
	r.Do("POST", path+"/detach", `{"volume":{"id":"`+id+`"}}`, 404)
	r.Do("DELETE", path, "", 204)
	r.Do("GET", path, "", 404)
	r.tick(night(2, time.Second))
	r.await("snapshots", first["id"].(string), "completed/available")
	r.Do("DELETE", "/v1/volumes/"+copied, "", 204)
	r.await("volumes", copied, "404")
	r.tick(night(2, time.Minute))
	r.await("snapshots", first["id"].(string), "404")
	if got := r.snapshots(); len(got) != 1 {
		t.Errorf("the second one has a day left: %v", got)
	}
	r.tick(night(3, time.Minute))
	r.await("snapshots", got[0].(map[string]any)["id"].(string), "404")
}

func TestSchedulersWaitForBusyVolumesAndSkipAFullDisk(t *testing.T) {
	r := newRegion(t)
	busy, full := r.create("busy"), r.create("full")
	scheduler := r.Do("POST", "/v1/schedulers", nightly, 201).JSON(t)["id"].(string)
	r.Do("POST", "/v1/schedulers/"+scheduler+"/attach", `{"volume":{"id":"`+busy+`"}}`, 204)
	r.Kill() // so that the extension stays under way
	r.Do("POST", "/v1/volumes/"+busy+"/extend", `{"size":20}`, 204)
	r.tick(night(0, 0))
	if got := r.snapshots(); len(got) != 0 {
		t.Errorf("of a volume that is being extended: %v", got)
	}
	r.Start()
	r.await("volumes", busy, "completed/available")
	r.tick(night(0, time.Hour))
	if got := r.snapshots(); len(got) != 1 {
		t.Errorf("after the extension: %v", got)
	}

	r.Do("POST", "/v1/schedulers/"+scheduler+"/attach", `{"volume":{"id":"`+full+`"}}`, 204)
	r.machine.set(func() { r.machine.full = true })
	r.tick(night(0, time.Hour))
	r.machine.set(func() { r.machine.full = false })
	r.tick(night(0, 2*time.Hour))
	if got := r.snapshots(); len(got) != 1 {
		t.Errorf("there was no room that night: %v", got)
	}
	r.tick(night(1, 0))
	if got := r.snapshots(); len(got) != 3 {
		t.Errorf("the night after: %v", got)
	}
}

func TestSchedulersOfOthers(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	scheduler := r.Do("POST", "/v1/schedulers", nightly, 201).JSON(t)["id"].(string)
	for _, c := range [][3]string{{"GET", ""}, {"DELETE", ""}, {"POST", "/attach", `{"volume":{"id":"` + id + `"}}`}, {"POST", "/detach", `{"volume":{"id":"` + id + `"}}`}} {
		if a := r.As(foreign, c[0], "/v1/schedulers/"+scheduler+c[1], c[2]); a.Status != 404 {
			t.Errorf("%s %s: %d", c[0], c[1], a.Status)
		}
	}
	if a := r.As(foreign, "GET", "/v1/schedulers", ""); strings.Contains(string(a.Body), scheduler) {
		t.Errorf("a foreign tenant sees %s", a.Body)
	}
	own := r.As(foreign, "POST", "/v1/schedulers", nightly).JSON(t)["id"].(string)
	if a := r.As(foreign, "POST", "/v1/schedulers/"+own+"/attach", `{"volume":{"id":"`+id+`"}}`); a.Status != 404 {
		t.Errorf("somebody else's volume: %d", a.Status)
	}
}

func TestASuspendedInstanceStaysSoDuringASnapshot(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	r.attach(id, vm)
	r.machine.set(func() { r.machine.instances[vm].Desired, r.machine.instances[vm].paused = "suspended", true })
	r.snapshot("snap", id, "completed/available")
	r.machine.set(func() {
		if !r.machine.instances[vm].paused {
			t.Error("it was resumed")
		}
	})
}

func TestClaimForAnInstanceThatIsBeingCreated(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	claim := func(instance, id, name string) error {
		found, err := r.machine.find(t.Context(), r.DB, instance)
		if err != nil {
			t.Fatal(err)
		}
		i := found[instance]
		i.State, i.Status = "new", "provisioning"
		return r.DB.Tx(t.Context(), func(tx *sql.Tx) error {
			_, err := r.Service().Claim(t.Context(), tx, i, id, name)
			return err
		})
	}
	for _, c := range []struct {
		instance, id, name, says string
	}{{farVM, id, "", "same availability zone"}, {alienVM, id, "", "volume not found"}, {vm, "", "other", "volume not found"}} {
		if err := claim(c.instance, c.id, c.name); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := claim(vm, "", "data"); err != nil {
		t.Fatal(err)
	}
	r.Service().Wake(id)
	r.await("volumes", id, "completed/in-use")
	if err := claim(otherVM, id, ""); err == nil || !strings.Contains(err.Error(), "its state is in-use") {
		t.Errorf("claimed twice: %v", err)
	}
}
