package mkeapi

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// settle plays the operators: the cluster and its pools reach a state.
func (h *harness) settle(id, state string) {
	h.t.Helper()
	err := h.store.Observe(h.t.Context(), uuid.MustParse(id), func(c *record.Cluster, _ []db.Operation) {
		c.State, c.Message = state, "Ready"
		for i := range c.Pools {
			c.Pools[i].State = state
		}
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) createPool(cluster, body string) string {
	h.t.Helper()
	id := h.do(http.MethodPost, "/v0/clusters/"+cluster+"/node_pools", body).want(http.StatusCreated).object()["id"].(string)
	h.server.Wait()
	return id
}

func TestNodePoolLifeOfARequest(t *testing.T) {
	h := newHarness(t)
	cluster := h.createCluster(`{"name":"c"}`)
	base := "/v0/clusters/" + cluster + "/node_pools"
	// Accepted while the cluster is still pending.
	id := h.createPool(cluster, `{"name":"p","flavor":"BV4-8-40","replicas":2,"labels":{"a":"b"},"max_pods_per_node":64,
		"taints":[{"key":"k","value":"","effect":"NoSchedule"}],"auto_scale":{"min_replicas":1,"max_replicas":3}}`)
	p := h.do(http.MethodGet, base+"/"+id, nil).want(http.StatusOK).object()
	got := fmt.Sprintln(p["replicas"], p["labels"], p["taints"], p["auto_scale"], p["max_pods_per_node"], p["version"],
		p["instance_template"].(map[string]any)["flavor"].(map[string]any)["name"], p["availability_zones"])
	want := "2 map[a:b] [map[effect:NoSchedule key:k value:]] map[max_replicas:3 min_replicas:1] 64 v1.34.4 BV4-8-40 [a b c]\n"
	if got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if list := h.do(http.MethodGet, "/v1alpha0/clusters/"+cluster+"/node-pools?_limit=10", nil).want(http.StatusOK).results(); len(list) != 1 || list[0]["flavor"] != "BV4-8-40" {
		t.Errorf("list = %v", list)
	}
	h.do(http.MethodPost, base, `{"name":"p","flavor":"BV2-4-40","replicas":1}`).wantProblem(http.StatusConflict, "node_pool_already_exists", nil)
	h.do(http.MethodPost, base, `{"name":"p","flavor":"x","replicas":1}`).wantProblem(http.StatusBadRequest, "invalid_request",
		map[string]string{"name": "node_pool_already_exists", "flavor": "unknown_flavor"})
	h.do(http.MethodPost, base, `{"name":"huge","flavor":"BV2-4-40","replicas":254}`).wantProblem(http.StatusBadRequest, "pods_cidr_too_small", nil)
	h.do(http.MethodDelete, base+"/"+id, "null").want(http.StatusNoContent)
	h.do(http.MethodDelete, base+"/"+id, "null").want(http.StatusNoContent)
	h.do(http.MethodPatch, base+"/"+id, `{"replicas":1}`).wantProblem(http.StatusConflict, "node_pool_deleting", nil)
	if err := h.store.NodePoolGone(t.Context(), uuid.MustParse(cluster), uuid.MustParse(id)); err != nil {
		t.Fatal(err)
	}
	h.do(http.MethodGet, base+"/"+id, nil).wantProblem(http.StatusNotFound, "node_pool_not_found", nil)
}

func TestNodePoolPatches(t *testing.T) {
	for name, tc := range map[string]struct {
		start, patch string
		status       int
		slug         string // of the problem, or the resulting replicas, bounds, flavor, version, state
	}{
		"replicas":                {`"replicas":1`, `{"replicas":3}`, 200, "3 map[max_replicas:3 min_replicas:3] BV4-8-40 v1.33.6 ScalingUp"},
		"fewer replicas":          {`"replicas":3`, `{"replicas":0}`, 200, "0 map[max_replicas:0 min_replicas:0] BV4-8-40 v1.33.6 ScalingDown"},
		"unchanged flavor":        {`"replicas":1`, `{"flavor":"BV4-8-40"}`, 200, "1 map[max_replicas:1 min_replicas:1] BV4-8-40 v1.33.6 Running"},
		"nothing":                 {`"replicas":1`, `{}`, 200, "1 map[max_replicas:1 min_replicas:1] BV4-8-40 v1.33.6 Running"},
		"flavor":                  {`"replicas":1`, `{"flavor":"BV8-16-40"}`, 200, "1 map[max_replicas:1 min_replicas:1] BV8-16-40 v1.33.6 ScalingUp"},
		"bounds pull up":          {`"replicas":1`, `{"auto_scale":{"min_replicas":2,"max_replicas":5}}`, 200, "2 map[max_replicas:5 min_replicas:2] BV4-8-40 v1.33.6 ScalingUp"},
		"bounds pull down":        {`"replicas":4`, `{"auto_scale":{"min_replicas":0,"max_replicas":2}}`, 200, "2 map[max_replicas:2 min_replicas:0] BV4-8-40 v1.33.6 ScalingDown"},
		"null bounds end scaling": {`"replicas":2,"auto_scale":{"min_replicas":1,"max_replicas":5}`, `{"auto_scale":{"min_replicas":null,"max_replicas":null}}`, 200, "2 map[max_replicas:2 min_replicas:2] BV4-8-40 v1.33.6 ScalingUp"},
		"replicas out of bounds":  {`"replicas":2,"auto_scale":{"min_replicas":1,"max_replicas":5}`, `{"replicas":6}`, 400, "replicas_outside_auto_scale"},
		"both out of bounds":      {`"replicas":2`, `{"replicas":6,"auto_scale":{"min_replicas":1,"max_replicas":5}}`, 400, "replicas_outside_auto_scale"},
		"min above max":           {`"replicas":2`, `{"auto_scale":{"min_replicas":5,"max_replicas":1}}`, 400, "min_replicas_above_max_replicas"},
		"negative":                {`"replicas":2`, `{"replicas":-1}`, 400, "invalid_replicas"},
		"no room for nodes":       {`"replicas":2`, `{"replicas":256}`, 400, "pods_cidr_too_small"},
		"null replicas":           {`"replicas":2`, `{"replicas":null}`, 400, "wrong_type"},
		"unknown flavor":          {`"replicas":2`, `{"flavor":"x"}`, 400, "unknown_flavor"},
		"newer than the cluster":  {`"replicas":2`, `{"version":"v1.34.2"}`, 400, "node_pool_newer_than_cluster"},
		"unknown version":         {`"replicas":2`, `{"version":"v9"}`, 400, "unknown_version"},
		"field of creation":       {`"replicas":2`, `{"labels":{}}`, 400, "unknown_field"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			cluster := h.createCluster(`{"name":"c","version":"v1.33.6"}`)
			id := h.createPool(cluster, `{"name":"p","flavor":"BV4-8-40",`+tc.start+`}`)
			h.settle(cluster, "Running")
			res := h.do(http.MethodPatch, "/v0/clusters/"+cluster+"/node_pools/"+id, tc.patch)
			if tc.status != http.StatusOK {
				res.wantProblem(tc.status, tc.slug, nil)
				return
			}
			p := res.want(http.StatusOK).object()
			got := fmt.Sprint(p["replicas"], " ", p["auto_scale"], " ", p["instance_template"].(map[string]any)["flavor"].(map[string]any)["name"],
				" ", p["version"], " ", p["status"].(map[string]any)["state"])
			if got != tc.slug {
				t.Errorf("\n got %s\nwant %s", got, tc.slug)
			}
		})
	}
}

func TestUpgrade(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(`{"name":"c","version":"v1.33.6","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":1}]}`)
	pool := h.do(http.MethodGet, "/v0/clusters/"+id, nil).object()["node_pools"].([]any)[0].(map[string]any)["id"].(string)
	path := "/v0/clusters/" + id
	h.do(http.MethodPatch, path, `{"version":"v1.34.2"}`).wantProblem(http.StatusBadRequest, "cluster_not_running", nil)
	h.do(http.MethodPatch, path, `{"version":"v1.33.6"}`).want(http.StatusOK)
	h.settle(id, "Running")
	h.do(http.MethodPatch, path, `{"version":"v1.35.4"}`).wantProblem(http.StatusBadRequest, "invalid_upgrade_path", nil)
	h.do(http.MethodPatch, path, `{"version":"v1.34.2"}`).want(http.StatusOK)
	c := h.do(http.MethodGet, path, nil).object()
	if c["version"] != "v1.34.2" || c["status"].(map[string]any)["state"] != "Provisioning" {
		t.Errorf("%v %v", c["version"], c["status"])
	}
	h.settle(id, "Running")
	h.do(http.MethodPatch, path, `{"version":"v1.33.6"}`).wantProblem(http.StatusBadRequest, "invalid_upgrade_path", nil)
	h.do(http.MethodPatch, path+"/node_pools/"+pool, `{"version":"v1.34.2"}`).want(http.StatusOK)
}

func TestKubeconfig(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(`{"name":"c"}`)
	h.do(http.MethodGet, "/v0/clusters/"+id+"/kubeconfig", nil).wantProblem(http.StatusBadRequest, "kubeconfig_not_ready", nil)
	h.clusters.err, h.clusters.kubeconfig = nil, []byte("apiVersion: v1\nkind: Config\n")
	res := h.do(http.MethodGet, "/v0/clusters/"+id+"/kubeconfig", nil).want(http.StatusOK)
	if res.Header.Get("Content-Type") != "application/yaml" || string(res.body) != "apiVersion: v1\nkind: Config\n" {
		t.Errorf("%v %s", res.Header, res.body)
	}
}

func TestNodes(t *testing.T) {
	h := newHarness(t)
	cluster := h.createCluster(`{"name":"c"}`)
	pool := h.createPool(cluster, `{"name":"p","flavor":"BV4-8-40","replicas":3}`)
	instance := uuid.NewString()
	ready := corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u", Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"cluster.x-k8s.io/machine": "m1"}, CreationTimestamp: metav1.Now()},
		Spec:       corev1.NodeSpec{ProviderID: "magalu://br-se1-a/" + instance},
		Status: corev1.NodeStatus{
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "172.26.0.5"}},
			Capacity:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4")},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	h.clusters.nodes, h.clusters.nodesErr = []corev1.Node{ready}, nil
	h.clusters.machines = []Machine{
		{Name: "m1", NodeName: "n1", ID: instance, CreatedAt: time.Now()},
		{Name: "m2", ID: uuid.NewString(), CreatedAt: time.Now()},
		{Name: "m3", CreatedAt: time.Now()},
		{Name: "m4", CreatedAt: time.Now(), Deleting: true},
	}
	path := "/v0/clusters/" + cluster + "/node_pools/" + pool + "/nodes"
	states := func() (s string) {
		for _, n := range h.do(http.MethodGet, path, nil).want(http.StatusOK).results() {
			if taints, ok := n["taints"].([]any); !ok || len(taints) != 0 {
				t.Errorf("taints = %v: Terraform crashes", n["taints"])
			}
			s += fmt.Sprint(n["name"], ":", n["status"].(map[string]any)["state"], " ")
		}
		return s
	}
	if got := states(); got != "n1:Running m2:Provisioned m3:Provisioning m4:Deleting " {
		t.Errorf("nodes = %s", got)
	}
	h.clusters.nodes, h.clusters.nodesErr = nil, fmt.Errorf("connection refused")
	if got := states(); got != "m1:Unknown m2:Provisioned m3:Provisioning m4:Deleting " {
		t.Errorf("nodes of a cluster that does not answer = %s", got)
	}
}

func TestOperations(t *testing.T) {
	h := newHarness(t)
	cluster := h.createCluster(talkCluster)
	list := h.do(http.MethodGet, "/v0/clusters/"+cluster+"/operations", nil).want(http.StatusOK).results()
	if len(list) != 1 || list[0]["kind"] != "CreateCluster" || list[0]["state"] != "Running" || len(list[0]["phases"].([]any)) != 7 {
		t.Fatalf("operations = %v", list)
	}
	h.createPool(cluster, `{"name":"p","flavor":"BV4-8-40","replicas":1}`)
	h.do(http.MethodDelete, "/v0/clusters/"+cluster, nil).want(http.StatusNoContent)
	list = h.do(http.MethodGet, "/v0/clusters/"+cluster+"/operations?_limit=10", nil).want(http.StatusOK).results()
	kinds := ""
	for _, op := range list {
		kinds += fmt.Sprint(op["kind"], ":", op["state"], " ")
	}
	if kinds != "DeleteCluster:Running CreateNodePool:Cancelled CreateCluster:Cancelled " {
		t.Errorf("operations = %s", kinds)
	}
	if err := h.store.ClusterGone(t.Context(), uuid.MustParse(cluster)); err != nil {
		t.Fatal(err)
	}
	// The end of a deletion can still be read when the cluster is gone.
	op := h.do(http.MethodGet, "/v0/operations/"+list[0]["id"].(string), nil).want(http.StatusOK).object()
	if op["state"] != "Succeeded" || op["percentage"] != 100.0 || op["finished_at"] == nil {
		t.Errorf("operation = %v", op)
	}
}
