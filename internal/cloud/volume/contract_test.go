package volume

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/daemontest"
)

func TestMain(m *testing.M) { os.Exit(contracttest.Run(m, "block-storage", Unavailable)) }

func TestStrangeRequests(t *testing.T) {
	r := newRegion(t)
	id := r.create("data")
	snapshot := r.snapshot("snap", id, "completed/available")
	r.Kill()
	fill := strings.NewReplacer("/volumes/{id}", "/volumes/"+id, "/snapshots/{id}", "/snapshots/"+snapshot, "{virtual_machine_id}", vm)
	r.contract.Battery(t, fill.Replace, contracttest.Sender(r, daemontest.Tenant))
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

func FuzzCreateSnapshot(f *testing.F) {
	f.Add(`{"name":"snap","description":"","volume":{"id":"x"}}`)
	f.Add(`{"name":"snap","description":"d","source_snapshot":{"name":"x"},"type":"object"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var body createSnapshotRequest
		if json.Unmarshal([]byte(text), &body) != nil || body.validate() != nil {
			return
		}
		if (body.Volume == nil) == (body.Source == nil) || utf8.RuneCountInString(*body.Description) > maxDescription {
			t.Errorf("accepted %s", text)
		}
	})
}
