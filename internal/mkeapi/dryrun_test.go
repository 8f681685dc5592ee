package mkeapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

// dry asks for a plan and returns its operation and changes, one per line.
func (h *harness) dry(method, path string, body any) (response, string) {
	h.t.Helper()
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	res := h.do(method, path+separator+"dry_run=true", body).want(http.StatusOK)
	var p planResponse
	res.into(&p)
	lines := []string{p.Operation}
	for _, c := range p.Changes {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %d %s %s %s", c.Action, c.Count, c.Kind, c.Name, c.Detail)))
	}
	if !p.DryRun || len(p.Quotas) != len(quotas) || p.Cost == nil {
		h.t.Errorf("plan = %s", res.body)
	}
	return res, strings.Join(lines, "\n")
}

func (h *harness) wantPlan(got string, want ...string) {
	h.t.Helper()
	if got != strings.Join(want, "\n") {
		h.t.Errorf("plan\n got %s\nwant %s", got, strings.Join(want, "\n"))
	}
}

// everything counts the rows that dry runs must not make or touch.
func (h *harness) everything() (state string) {
	h.t.Helper()
	err := h.pool.QueryRow(h.t.Context(), `SELECT concat_ws(' ', (SELECT sum(changes) FROM clusters), (SELECT count(*) FROM clusters), (SELECT sum(revision) FROM node_pools),
		(SELECT count(*) FROM node_pools), (SELECT count(*) FROM operations), (SELECT sum(generation) FROM outbox))`).Scan(&state)
	if err != nil {
		h.t.Fatal(err)
	}
	return state
}

func TestDryRuns(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(`{"name":"c","version":"v1.33.6","node_pools":[{"flavor":"BV4-8-40","name":"p","replicas":3}]}`)
	h.settle(id, "Running")
	cluster := "/v0/clusters/" + id
	pool := cluster + "/node_pools/" + h.do(http.MethodGet, cluster, nil).object()["node_pools"].([]any)[0].(map[string]any)["id"].(string)
	before := h.everything()

	res, got := h.dry(http.MethodPost, "/v0/clusters", `{"name":"d","node_pools":[{"flavor":"BV2-4-40","name":"q","replicas":2},{"flavor":"BV2-4-40","name":"r","replicas":0}]}`)
	h.wantPlan(got, "CreateCluster", "create 1 Cluster d v1.34.4", "create 1 ControlPlane d BV2-4-40", "create 1 LoadBalancer d of the API server",
		"create 1 PublicIP d of the API server", "create 1 NodePool q", "create 2 Node q BV2-4-40", "create 1 NodePool r")
	if !strings.Contains(string(res.body), `"name":"clusters","description":"clusters","limit":100,"used":2`) {
		t.Errorf("quotas are not those afterwards: %s", res.body)
	}
	_, got = h.dry(http.MethodPatch, cluster, `{"version":"v1.34.2","description":"x","allowed_cidrs":["10.0.0.0/8"],"deletion_protection":true}`)
	h.wantPlan(got, "UpdateCluster", "update 1 Cluster c description", "update 1 Cluster c deletion_protection: true", "update 1 Cluster c allowed_cidrs",
		"replace 1 ControlPlane c version v1.33.6 to v1.34.2")
	_, got = h.dry(http.MethodPatch, cluster, `{}`)
	h.wantPlan(got, "UpdateCluster")
	_, got = h.dry(http.MethodPost, cluster+"/node_pools", `{"name":"q","flavor":"BV2-4-40","replicas":2}`)
	h.wantPlan(got, "CreateNodePool", "create 1 NodePool q", "create 2 Node q BV2-4-40")
	for body, want := range map[string][]string{
		`{"replicas":5}`:                                     {"create 2 Node p BV4-8-40"},
		`{"replicas":1}`:                                     {"delete 2 Node p BV4-8-40"},
		`{"flavor":"BV8-16-40","replicas":4}`:                {"update 1 NodePool p flavor BV4-8-40 to BV8-16-40", "replace 3 Node p BV8-16-40", "create 1 Node p BV8-16-40"},
		`{"auto_scale":{"min_replicas":1,"max_replicas":9}}`: {"update 1 NodePool p auto_scale off to 1-9"},
		`{"flavor":"BV4-8-40"}`:                              nil,
	} {
		_, got = h.dry(http.MethodPatch, pool, body)
		h.wantPlan(got, append([]string{"UpdateNodePool"}, want...)...)
	}
	_, got = h.dry(http.MethodDelete, pool, nil)
	h.wantPlan(got, "DeleteNodePool", "delete 1 NodePool p", "delete 3 Node p BV4-8-40")
	if after := h.everything(); after != before {
		t.Errorf("a dry run wrote: %s, before %s", after, before)
	}

	// What would be refused is.
	h.do(http.MethodPost, "/v0/clusters?dry_run=true", `{"name":"C"}`).wantProblem(http.StatusBadRequest, "invalid_name", nil)
	h.do(http.MethodPost, "/v0/clusters?dry_run=true", `{"name":"c"}`).wantProblem(http.StatusConflict, "cluster_already_exists", nil)
	h.do(http.MethodPost, "/v0/clusters?dry_run=perhaps", `{"name":"d"}`).wantProblem(http.StatusBadRequest, "wrong_type", map[string]string{"dry_run": "wrong_type"})
	h.do(http.MethodPatch, cluster+"?dry_run=true", `{"version":"v1.35.4"}`).wantProblem(http.StatusBadRequest, "invalid_upgrade_path", nil)
	h.limit("nodes", 4)
	h.do(http.MethodPatch, pool+"?dry_run=true", `{"replicas":5}`).shortages()
	h.as(stranger, http.MethodDelete, cluster+"?dry_run=true", nil).wantProblem(http.StatusNotFound, "cluster_not_found", nil)
	h.do(http.MethodPost, "/v0/clusters?dry_run=false", `{"name":"real"}`).want(http.StatusCreated)
}

func TestDryRunOfDeletion(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	c, client := "/v0/clusters/"+id, h.cloud.Client(t)
	for name, description := range map[string]string{"mke-a": "mke.cluster-id=" + id + " service=default/web public-ip=retain", "mke-" + id + "-api": "mke.cluster-id=" + id, "other": ""} {
		h.balancer(name, description)
	}
	volume := "mke-" + id[:8] + "-00000000-0000-4000-8000-000000000001"
	for _, name := range []string{volume, "mine"} {
		if _, err := client.Volume.Create(t.Context(), mgc.VolumeCreate{Name: name, Size: 10, Type: mgc.Ref{Name: "cloud_nvme20k"}, AvailabilityZone: "br-se1-a"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client.LoadBalancer.List(t.Context()); err != nil { // the fake's objects settle as they are read
		t.Fatal(err)
	}
	own := []string{"DeleteCluster", "delete 1 Cluster meu-cluster v1.34.4", "delete 1 ControlPlane meu-cluster BV2-4-40", "delete 1 LoadBalancer meu-cluster of the API server",
		"delete 1 PublicIP meu-cluster of the API server", "delete 1 NodePool nodepool01", "delete 1 Node nodepool01 BV4-8-40", "delete 1 LoadBalancer mke-a default/web"}
	for query, storage := range map[string]string{
		"":                     "keep 1 Volume " + volume + " 10 GiB; costs money until it is deleted",
		"?delete_volumes=true": "delete 1 Volume " + volume + " 10 GiB; the data in it is lost",
	} {
		res, got := h.dry(http.MethodDelete, c+query, nil)
		var lines []string
		for line := range strings.SplitSeq(got, "\n") {
			if !strings.HasPrefix(line, "keep 1 PublicIP") { // its address is not known here
				lines = append(lines, line)
			}
		}
		h.wantPlan(strings.Join(lines, "\n"), append(append([]string{}, own...), storage)...)
		if len(strings.Split(got, "\n")) != len(lines)+1 {
			t.Errorf("the retained public IP is not kept: %s", got)
		}
		if !strings.Contains(string(res.body), `"name":"clusters","description":"clusters","limit":100,"used":0`) {
			t.Errorf("quotas are not those afterwards: %s", res.body)
		}
	}
	defer h.cloud.Inject(mgctest.Fault{Path: "/volume/", Status: http.StatusServiceUnavailable})()
	h.do(http.MethodDelete, c+"?dry_run=true", nil).wantProblem(http.StatusServiceUnavailable, "cloud_unavailable", nil)
}

func TestDeletionProtection(t *testing.T) {
	h := newHarness(t)
	c := "/v0/clusters/" + h.createCluster(`{"name":"c","deletion_protection":true}`)
	protected := func(want bool) {
		t.Helper()
		if got := h.do(http.MethodGet, c, nil).object()["deletion_protection"]; got != want {
			t.Errorf("deletion_protection = %v, want %v", got, want)
		}
	}
	protected(true)
	h.do(http.MethodDelete, c, "null").wantProblem(http.StatusConflict, "deletion_protected", nil)
	h.do(http.MethodDelete, c+"?dry_run=true", nil).wantProblem(http.StatusConflict, "deletion_protected", nil)
	h.do(http.MethodPatch, c, `{"description":"d"}`).want(http.StatusOK)
	protected(true)
	h.do(http.MethodPatch, c, `{"deletion_protection":"no"}`).wantProblem(http.StatusBadRequest, "wrong_type", nil)
	h.do(http.MethodPatch, c, `{"deletion_protection":false}`).want(http.StatusOK)
	protected(false)
	h.do(http.MethodDelete, c, "null").want(http.StatusNoContent)
}

func TestEstimatedCost(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(`{"name":"c","node_pools":[{"flavor":"BV4-8-40","name":"p","replicas":3}]}`)
	c := h.do(http.MethodGet, "/v0/clusters/"+id, nil).object()
	cost := c["estimated_cost"].(map[string]any)
	f := h.server.prices.Flavors
	want := fmt.Sprintf("%.4f", f["BV2-4-40"]+3*f["BV4-8-40"]+h.server.prices.LoadBalancer+h.server.prices.PublicIP)
	if got := fmt.Sprintf("%.4f", cost["hourly"]); got != want || cost["currency"] != "BRL" || cost["example"] != true || len(cost["items"].([]any)) != 4 {
		t.Errorf("cost = %v, want %s", cost, want)
	}
	pool := h.do(http.MethodGet, "/v0/clusters/"+id+"/node_pools/"+c["node_pools"].([]any)[0].(map[string]any)["id"].(string), nil).object()
	if got := fmt.Sprintf("%.4f", pool["estimated_cost"].(map[string]any)["hourly"]); got != fmt.Sprintf("%.4f", 3*f["BV4-8-40"]) {
		t.Errorf("cost of the pool = %s", got)
	}
}
