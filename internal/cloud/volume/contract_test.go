package volume

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/daemontest"
)

func TestMain(m *testing.M) { os.Exit(contracttest.Run(m, "block-storage")) }

func TestStrangeRequests(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	snapshot := r.snapshot("snap", id, "completed/available")
	scheduler := r.Do("POST", "/v1/schedulers", nightly, 201).JSON(t)["id"].(string)
	r.Kill()
	fill := strings.NewReplacer("/volumes/{id}", "/volumes/"+id, "/snapshots/{id}", "/snapshots/"+snapshot, "/schedulers/{id}", "/schedulers/"+scheduler, "{virtual_machine_id}", vm)
	r.contract.Battery(t, fill.Replace, r.contract.Sender(t, r, daemontest.Tenant))
}

// What is not refused is inside of the published bounds.
func FuzzCreateVolume(f *testing.F) {
	f.Add(`{"name":"data","size":10,"type":{"name":"cloud_nvme1k"}}`)
	f.Add(`{"name":"data","size":99,"type":{"id":"x"},"availability_zone":"br-se1-a","snapshot":{"name":"snap"},"encrypted":false}`)
	f.Add(`{"name":"\ud800","size":9223372036854775807,"type":{"name":""}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var body createVolumeRequest
		if json.Unmarshal([]byte(text), &body) != nil || body.validate() != nil {
			return
		}
		if n := utf8.RuneCountInString(*body.Name); n < 3 || n > 50 || *body.Size < 10 || *body.Size*gib/gib != *body.Size || body.Encrypted {
			t.Errorf("accepted %s", text)
		}
		findType(*body.Type)
	})
}

func FuzzScheduler(f *testing.F) {
	f.Add(nightly)
	f.Add(`{"name":"x","snapshot":{"type":"object"},"policy":{"retention_in_days":0,"frequency":{"daily":{"start_time":"24:00:00"}}}}`)
	f.Add(`{"name":"xyz","snapshot":{"type":"object"},"policy":{"retention_in_days":3650,"frequency":{"daily":{"start_time":"23:59"}}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var body schedulerRequest
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		c, err := body.scheduler()
		if err != nil {
			return
		}
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		if due, err := c.due(now); err != nil || due.After(now) || now.Sub(due) > 24*time.Hour || c.Retention < 1 {
			t.Errorf("%s is due at %s, %v", text, due, err)
		}
	})
}

func FuzzCreateSnapshot(f *testing.F) {
	f.Add(`{"name":"snap","description":"","volume":{"id":"x"}}`)
	f.Add(`{"name":"snap","description":"d","source_snapshot":{"name":"x"},"type":"object"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var body createSnapshotRequest
		if json.Unmarshal([]byte(text), &body) != nil || body.validate() != nil {
			return
		}
		if (body.Volume == nil) == (body.Source == nil) || utf8.RuneCountInString(body.Description.text) > maxDescription {
			t.Errorf("accepted %s", text)
		}
	})
}

func TestPagesAndOrders(t *testing.T) {
	r := newRegion(t)
	for _, name := range []string{"two", "one", "three"} {
		id := r.create(name)
		r.snapshot("of-"+name, id, "completed/available")
		r.Do("POST", "/v1/schedulers", strings.Replace(nightly, "nightly", name, 1), 201)
	}
	for _, list := range []contracttest.List{
		{Target: "/v1/volumes", Items: "volumes", By: "name"},
		{Target: "/v1/volumes?expand=volume_type&expand=attachment", Items: "volumes", By: "created_at"},
		{Target: "/v1/snapshots?expand=volume&type=instant", Items: "snapshots", By: "name"},
		{Target: "/v1/schedulers?expand=volume", Items: "schedulers", By: "name"},
	} {
		list.Check(t, r.contract.Sender(t, r, daemontest.Tenant))
	}
}
