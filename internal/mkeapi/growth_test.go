package mkeapi

import (
	"net/http"
	"testing"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/record"
)

// controlPlaneOf is the flavor of a cluster's control plane, the cluster's state, and how many updates of it were started.
func (h *harness) controlPlaneOf(id string) (flavor, state string, updates int) {
	h.t.Helper()
	c, err := h.store.LoadCluster(h.t.Context(), uuid.MustParse(id))
	if err != nil {
		h.t.Fatal(err)
	}
	ops, err := h.store.FindOperations(h.t.Context(), c.TenantID, record.OperationFilter{ClusterID: &c.ID}, 100, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, op := range ops {
		if op.Kind == record.UpdateCluster {
			updates++
		}
	}
	return c.ControlPlaneFlavor, c.State, updates
}

// A control plane is as large as the node pools may become, from the first moment and when they change; it does not shrink.
func TestControlPlaneGrowsWithNodePools(t *testing.T) {
	h := newHarness(t)
	h.limit("nodes", 5000)
	large := h.createCluster(`{"name":"large","cluster_ipv4_cidr":"10.128.0.0/12","services_ipv4_cidr":"10.96.0.0/16","node_pools":[
		{"flavor":"BV2-4-40","name":"p","replicas":0,"auto_scale":{"min_replicas":0,"max_replicas":1001}}]}`)
	if flavor, _, updates := h.controlPlaneOf(large); flavor != "BV8-32-40" || updates != 0 {
		t.Errorf("for 1,001 nodes a control plane of %s was made and updated %d times", flavor, updates)
	}

	id := h.createCluster(`{"name":"c","cluster_ipv4_cidr":"10.128.0.0/12","services_ipv4_cidr":"10.96.0.0/16"}`)
	pools := "/v0/clusters/" + id + "/node_pools"
	pool := pools + "/" + h.createPool(id, `{"name":"p","flavor":"BV2-4-40","replicas":1}`)
	for _, step := range []struct {
		method, path, body string
		flavor, state      string
		updates            int
		plan               []string
	}{
		{method: http.MethodPatch, path: pool, body: `{"replicas":250}`, flavor: "BV2-4-40", state: "Running",
			plan: []string{"UpdateNodePool", "create 249 Node p BV2-4-40"}},
		{method: http.MethodPost, path: pools, body: `{"name":"q","flavor":"BV2-4-40","replicas":1}`, flavor: "BV4-16-40", state: "Provisioning", updates: 1,
			plan: []string{"CreateNodePool", "create 1 NodePool q", "create 1 Node q BV2-4-40", "replace 1 ControlPlane c flavor BV2-4-40 to BV4-16-40"}},
		{method: http.MethodPatch, path: pool, body: `{"auto_scale":{"min_replicas":0,"max_replicas":2000}}`, flavor: "BV8-32-40", state: "Provisioning", updates: 2,
			plan: []string{"UpdateNodePool", "update 1 NodePool p auto_scale off to 0-2000", "replace 1 ControlPlane c flavor BV4-16-40 to BV8-32-40"}},
		{method: http.MethodPatch, path: pool, body: `{"auto_scale":{"min_replicas":0,"max_replicas":1}}`, flavor: "BV8-32-40", state: "Running", updates: 2,
			plan: []string{"UpdateNodePool", "update 1 NodePool p auto_scale 0-2000 to 0-1", "delete 249 Node p BV2-4-40"}},
	} {
		h.settle(id, "Running")
		_, plan := h.dry(step.method, step.path, step.body)
		h.wantPlan(plan, step.plan...)
		h.do(step.method, step.path, step.body)
		if flavor, state, updates := h.controlPlaneOf(id); flavor != step.flavor || state != step.state || updates != step.updates {
			t.Errorf("%s %s: %s, %s, %d updates; want %s, %s, %d", step.method, step.body, flavor, state, updates, step.flavor, step.state, step.updates)
		}
	}
}
