package compute

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/daemontest"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

// A quota refuses, whatever was promised before goes on, and what is raised is there at once.
func TestQuota(t *testing.T) {
	r := newRegion(t)
	r.Start()
	set := func(body string, want int) {
		t.Helper()
		rec := httptest.NewRecorder()
		httpapi.Handler(httpapi.SlugMessage, r.Service().SetQuota)(rec, httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body)))
		if rec.Code != want {
			t.Fatalf("%s: %d %s", body, rec.Code, rec.Body)
		}
	}
	refused := func() {
		t.Helper()
		a := r.Do("POST", "/v1/instances", smallest, 400).JSON(t)
		if a["slug"] != "create_instance.quota_exceeded" || !strings.Contains(a["message"].(string), "has 1 and may have 1") {
			t.Errorf("refused with %v", a)
		}
	}
	first := r.create()
	set(`{"instances": 1}`, 204)
	refused()
	r.Restart()
	refused()
	if _, ports := r.machine.sizes(); ports != 1 {
		t.Errorf("%d ports, want that of the first instance only", ports)
	}
	set(`{"tenant_id": "`+daemontest.Tenant+`", "instances": 2}`, 204)
	second := r.create()
	set(`{"tenant_id": "`+daemontest.Tenant+`", "instances": null}`, 204)
	r.Do("DELETE", "/v1/instances/"+second, "", 204)
	r.await(second, "404")
	refused()
	set(`{"instances": null}`, 204)
	r.create()
	set(`{"instances": -1}`, 422)
	r.await(first, "completed/running")
}
