package mkeapi

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

// limit gives the tenant limits of its own.
func (h *harness) limit(name string, maximum int) {
	h.t.Helper()
	if _, err := h.pool.Exec(h.t.Context(), "INSERT INTO tenant_quotas VALUES ($1, $2, $3) ON CONFLICT (tenant_id, name) DO UPDATE SET maximum = $3",
		mgctest.Tenant, name, maximum); err != nil {
		h.t.Fatal(err)
	}
}

// shortages are the quotas that an answer names, with limit, used and wanted.
func (r response) shortages() (list []string) {
	r.t.Helper()
	r.wantProblem(http.StatusUnprocessableEntity, "quota_exceeded", nil)
	var body struct {
		Details []struct {
			Quota struct {
				Name                string
				Limit, Used, Wanted int
			}
		}
	}
	r.into(&body)
	for _, d := range body.Details {
		list = append(list, fmt.Sprintf("%s %d of %d, %d more", d.Quota.Name, d.Quota.Used, d.Quota.Limit, d.Quota.Wanted))
	}
	return list
}

func (h *harness) used() map[string]string {
	h.t.Helper()
	used := map[string]string{}
	for _, q := range h.do(http.MethodGet, "/v1alpha0/quotas", nil).want(http.StatusOK).results() {
		used[q["name"].(string)] = fmt.Sprintf("%v/%v", q["used"], q["limit"])
	}
	return used
}

func TestQuotas(t *testing.T) {
	h := newHarness(t)
	h.limit("clusters", 2)
	h.limit("node_pools_per_cluster", 2)
	h.limit("nodes", 5)
	h.limit("vcpus", 12)
	h.limit("ram_gib", 24)
	h.limit("disk_gib", 150)
	id := h.createCluster(talkCluster) // one node with 4 vCPUs and 8 GiB
	if got, want := fmt.Sprint(h.used()), "map[clusters:1/2 disk_gib:40/150 load_balancers:1/200 node_pools_per_cluster:1/2 nodes:1/5 public_ips:1/200 ram_gib:8/24 vcpus:4/12 volume_gib:0/100000 volumes:0/2000]"; got != want {
		t.Errorf("quotas\n got %s\nwant %s", got, want)
	}

	big := `{"name":"big","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":1,"auto_scale":{"min_replicas":0,"max_replicas":5}},
		{"name":"q","flavor":"BV2-4-40","replicas":0},{"name":"r","flavor":"BV2-4-40","replicas":0}]}`
	got := fmt.Sprint(h.do(http.MethodPost, "/v0/clusters", big).shortages())
	if want := "[node_pools_per_cluster 0 of 2, 3 more nodes 1 of 5, 5 more vcpus 4 of 12, 20 more ram_gib 8 of 24, 40 more disk_gib 40 of 150, 200 more]"; got != want {
		t.Errorf("all shortages at once\n got %s\nwant %s", got, want)
	}
	pools := "/v0/clusters/" + id + "/node_pools"
	first := h.do(http.MethodGet, "/v0/clusters/"+id, nil).object()["node_pools"].([]any)[0].(map[string]any)["id"].(string)
	h.do(http.MethodPatch, pools+"/"+first, `{"replicas":4}`).shortages()
	h.do(http.MethodPatch, pools+"/"+first, `{"auto_scale":{"min_replicas":1,"max_replicas":9}}`).shortages()
	h.do(http.MethodPatch, pools+"/"+first, `{"replicas":3}`).want(http.StatusOK)
	h.do(http.MethodPost, pools, `{"name":"more","flavor":"BV2-4-40","replicas":1}`).shortages()
	h.createPool(id, `{"name":"empty","flavor":"BV2-4-40","replicas":0}`)
	h.do(http.MethodPost, pools, `{"name":"third","flavor":"BV2-4-40","replicas":0}`).shortages()

	// Another tenant's quotas are its own.
	h.as(stranger, http.MethodPost, "/v0/clusters", talkCluster).want(http.StatusCreated)
	if n := len(h.do(http.MethodGet, "/v0/clusters", nil).results()); n != 1 {
		t.Errorf("%d clusters: a refused one was made", n)
	}

	// A limit that is lowered forbids growth only.
	h.limit("nodes", 1)
	h.do(http.MethodPatch, pools+"/"+first, `{"replicas":2}`).want(http.StatusOK)
	h.do(http.MethodPatch, pools+"/"+first, `{"replicas":3}`).shortages()
	h.limit("clusters", 1)
	h.do(http.MethodPost, "/v0/clusters", `{"name":"second"}`).shortages()

	// What is being deleted counts until it is gone.
	h.do(http.MethodDelete, "/v0/clusters/"+id, nil).want(http.StatusNoContent)
	h.do(http.MethodPost, "/v0/clusters", `{"name":"second"}`).shortages()
	if err := h.store.ClusterGone(t.Context(), uuid.MustParse(id)); err != nil {
		t.Fatal(err)
	}
	h.createCluster(`{"name":"second"}`)
}

// What the cloud has counts, whoever made it, and of each cluster the API server's load balancer with its public IP, made or not.
func TestQuotasOfTheCloud(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	client := h.cloud.Client(t)
	h.balancer("mke-"+id+"-api", "mke.cluster-id="+id) // now it is made
	h.balancer("web", "")
	h.cloud.AddPublicIP("kept")
	if _, err := client.Volume.Create(t.Context(), mgc.VolumeCreate{Name: "data", Size: 30, Type: mgc.Ref{Name: "cloud_nvme1k"}, AvailabilityZone: "br-se1-a"}); err != nil {
		t.Fatal(err)
	}
	used := func() string {
		u := h.used()
		return fmt.Sprint(u["load_balancers"], " ", u["public_ips"], " ", u["volumes"], " ", u["volume_gib"])
	}
	if got, want := used(), "2/200 3/200 1/2000 30/100000"; got != want {
		t.Errorf("used are %s, want %s", got, want)
	}
	if got := h.as(stranger, http.MethodGet, "/v1alpha0/quotas", nil).want(http.StatusOK).body; strings.Contains(string(got), `"used":1`) {
		t.Errorf("another tenant: %s", got)
	}
	h.limit("load_balancers", 2)
	h.limit("public_ips", 3)
	if got, want := fmt.Sprint(h.do(http.MethodPost, "/v0/clusters", `{"name":"second"}`).shortages()), "[load_balancers 2 of 2, 1 more public_ips 3 of 3, 1 more]"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	pools := "/v0/clusters/" + id + "/node_pools"
	h.createPool(id, `{"name":"more","flavor":"BV2-4-40","replicas":1}`) // needs none of them
	h.limit("load_balancers", 3)
	h.limit("public_ips", 4)
	plan, _ := h.dry(http.MethodPost, "/v0/clusters", `{"name":"second"}`)
	h.wantQuota(plan, "load_balancers", 3)
	h.createCluster(`{"name":"second"}`)
	plan, _ = h.dry(http.MethodDelete, "/v0/clusters/"+id, nil)
	h.wantQuota(plan, "load_balancers", 2)
	h.wantQuota(plan, "public_ips", 3)
	h.wantQuota(plan, "volumes", 1)

	// What cannot be counted is not taken for nothing.
	defer h.cloud.Inject(mgctest.Fault{Path: "/load-balancer/", Status: http.StatusServiceUnavailable})()
	h.do(http.MethodGet, "/v1alpha0/quotas", nil).wantProblem(http.StatusServiceUnavailable, "cloud_unavailable", nil)
	h.do(http.MethodPost, pools, `{"name":"third","flavor":"BV2-4-40","replicas":1}`).want(http.StatusCreated)
}

// wantQuota finds how much of a quota is used after a planned change.
func (h *harness) wantQuota(plan response, name string, used int64) {
	h.t.Helper()
	var p planResponse
	plan.into(&p)
	for _, q := range p.Quotas {
		if q.Name == name && q.Used != used {
			h.t.Errorf("of %s %d are used afterwards, want %d", name, q.Used, used)
		}
	}
}

// balancer makes a load balancer with a public IP.
func (h *harness) balancer(name, description string) {
	h.t.Helper()
	vpc, _ := h.cloud.DefaultVPC()
	if _, err := h.cloud.Client(h.t).LoadBalancer.Create(h.t.Context(), mgc.LoadBalancerCreate{Name: name, Description: description, Visibility: mgc.VisibilityExternal, VPCID: vpc.ID,
		Listeners: []mgc.ListenerCreate{{Name: "l", BackendName: "b", Protocol: "tcp", Port: 80}},
		Backends:  []mgc.BackendCreate{{Name: "b", BalanceAlgorithm: mgc.BalanceRoundRobin, TargetsType: mgc.TargetsInstance}}}); err != nil {
		h.t.Fatal(err)
	}
}

// Requests at the same time cannot both take what is left.
func TestQuotasAtOnce(t *testing.T) {
	h := newHarness(t)
	h.limit("clusters", 3)
	const requests = 12
	status := make([]int, requests)
	var group sync.WaitGroup
	for i := range requests {
		group.Go(func() { status[i] = h.do(http.MethodPost, "/v0/clusters", fmt.Sprintf(`{"name":"c%d"}`, i)).StatusCode })
	}
	group.Wait()
	made := 0
	for _, s := range status {
		switch s {
		case http.StatusCreated:
			made++
		case http.StatusUnprocessableEntity:
		default:
			t.Errorf("status %d", s)
		}
	}
	if made != 3 {
		t.Errorf("%d clusters were made, the limit is 3", made)
	}
}

func TestConfiguredQuotas(t *testing.T) {
	q, err := NewQuotas(map[string]int64{"nodes": 7})
	if err != nil || q["nodes"] != 7 || q["clusters"] != 100 {
		t.Errorf("%v, %v", q, err)
	}
	for name, bad := range map[string]map[string]int64{"unknown": {"node": 1}, "negative": {"nodes": -1}} {
		if _, err := NewQuotas(bad); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
