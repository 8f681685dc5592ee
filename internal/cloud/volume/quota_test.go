package volume

import (
	"strings"
	"testing"
)

// A tenant gets no more volumes, nor GiB, than it may have; what it gives back it may have again.
func TestQuota(t *testing.T) {
	r := newRegion(t)
	r.Service().TenantVolumes, r.Service().TenantGiB = 2, 25
	first := r.create("first")
	refused := func(method, path, body, slug, why string) {
		t.Helper()
		if a := string(r.Do(method, path, body, 409).Body); !strings.Contains(a, `"slug":"`+slug+`"`) || !strings.Contains(a, why) {
			t.Errorf("refused with %s", a)
		}
	}
	large := `{"name":"large","size":16,"type":{"name":"cloud_nvme5k"}}`
	refused("POST", "/v1/volumes", large, "creating_error_quota", "has 10 and may have 25")
	second := r.create("second")
	refused("POST", "/v1/volumes", strings.Replace(large, "16", "10", 1), "creating_error_quota", "has 2 and may have 2")
	refused("POST", "/v1/volumes/"+second+"/extend", `{"size":16}`, "extend_error_quota", "has 20 and may have 25")
	r.Do("POST", "/v1/volumes/"+second+"/extend", `{"size":15}`, 204)
	r.Do("DELETE", "/v1/volumes/"+first, "", 204)
	r.await("volumes", first, "404")
	r.create("third")
}
