//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// journey is the talk's cluster on its way from creation to deletion.
type journey struct {
	*cluster
	ports int // of the tenant, before
}

func testJourney(t *testing.T, r *region) {
	j := &journey{}
	dir := t.TempDir() // of the whole journey, unlike a step's
	inOrder(t,
		step{"Healthy", func(t *testing.T) {
			if sick := r.status.healthy(); sick != "" {
				t.Fatal(sick)
			}
			j.ports = r.ports(t)
		}},
		step{"Create", func(t *testing.T) { j.create(t, r) }},
		step{"ListIsCleanJSON", j.listIsCleanJSON},
		step{"Kubeconfig", func(t *testing.T) { j.kubeconfigWorks(t, dir) }},
		step{"Nodes", j.nodesAreReal},
		step{"Nginx", j.nginxRuns},
		step{"ExecLogsPortForward", j.execLogsPortForward},
		step{"ScaleTo3", func(t *testing.T) { j.scale(t, 3) }},
		step{"PodsReachEachOther", j.podsReachEachOther},
		step{"LabelsTaintsMaxPods", j.labelsTaintsMaxPods},
		step{"ScaleTo1", func(t *testing.T) { j.scale(t, 1) }},
		step{"AllowedCIDRs", j.allowedCIDRs},
		step{"Hollow", j.hollow},
		step{"Autoscaled", j.autoscaled},
		step{"Quota", j.quota},
		step{"Delete", j.delete},
	)
}

// create types the talk's command, and says how long what followed took.
func (j *journey) create(t *testing.T, r *region) {
	start := time.Now()
	name := "meu-cluster"
	if r.mgc("cluster", "get", name).code == 0 {
		name = "e2e-cluster" // a person's own demo is left alone
	}
	j.cluster = r.create(t, name)
	t.Logf("accepted after %s", time.Since(start).Round(time.Millisecond))
	j.waitRunning(t)
	t.Logf("Running %s after the command", time.Since(start).Round(100*time.Millisecond))
}

func (j *journey) listIsCleanJSON(t *testing.T) {
	res := j.r.mgc("cluster", "list", "-o", "json", "--raw")
	if res.code != 0 || res.stderr != "" {
		t.Fatalf("%s", res)
	}
	type listed struct {
		ID, Name, Version string
		CreatedAt         time.Time `json:"created_at"`
		Status            struct{ State, Message string }
	}
	var list struct{ Results []listed }
	dec := json.NewDecoder(strings.NewReader(res.stdout))
	if err := dec.Decode(&list); err != nil || dec.More() {
		t.Fatalf("not one JSON document: %v\n%s", err, res.stdout)
	}
	i := slices.IndexFunc(list.Results, func(c listed) bool { return c.ID == j.id })
	if i < 0 {
		t.Fatalf("the cluster is not listed: %s", res.stdout)
	}
	if c := list.Results[i]; c.Name != j.name || c.Version != kubernetesVersion || c.Status.State != "Running" || c.CreatedAt.IsZero() {
		t.Errorf("listed as %+v", c)
	}
}

func (j *journey) kubeconfigWorks(t *testing.T, dir string) {
	j.fetchKubeconfig(t, dir)
	if got := j.mustKubectl(t, "version", "-o", "json"); !strings.Contains(got, `"gitVersion": "`+kubernetesVersion+`"`) {
		t.Errorf("kubectl version:\n%s", got)
	}
}

func (j *journey) nodesAreReal(t *testing.T) {
	workers := 0
	for _, n := range j.waitNodes(t, 2, 2*time.Minute) {
		info := n.Status.NodeInfo
		if info.KubeletVersion != kubernetesVersion || !strings.HasPrefix(info.ContainerRuntimeVersion, "containerd://") {
			t.Errorf("node %s: kubelet %s, runtime %s", n.Name, info.KubeletVersion, info.ContainerRuntimeVersion)
		}
		if !strings.HasPrefix(n.Spec.ProviderID, "magalu://"+j.r.status.Region+"-") {
			t.Errorf("node %s: providerID %q", n.Name, n.Spec.ProviderID)
		}
		if zone := n.Labels[corev1.LabelTopologyZone]; !strings.HasPrefix(zone, j.r.status.Region+"-") {
			t.Errorf("node %s: zone %q", n.Name, zone)
		}
		if isControlPlane(n) {
			continue
		}
		workers++
		if n.Labels[corev1.LabelInstanceTypeStable] != poolFlavor {
			t.Errorf("node %s: instance type %q", n.Name, n.Labels[corev1.LabelInstanceTypeStable])
		}
	}
	if workers != 1 {
		t.Errorf("%d workers, want 1", workers)
	}
	if got := len(j.poolNodes(t, poolName)); got != 1 {
		t.Errorf("mgc shows %d nodes in the pool, want 1", got)
	}
}

// poolNodes asks mgc for the nodes of a pool.
func (j *journey) poolNodes(t *testing.T, pool string) []string {
	t.Helper()
	var list struct {
		Results []struct {
			Name   string
			Status struct{ State string }
		}
	}
	if err := json.Unmarshal([]byte(j.r.mustMgc(t, "nodepool", "nodes", j.id, pool, "-o", "json", "--raw")), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range list.Results {
		names = append(names, n.Name)
	}
	return names
}

// scale changes the pool's size and wants exactly so many nodes in Kubernetes and machines in the cloud.
func (j *journey) scale(t *testing.T, replicas int) {
	start := time.Now()
	res := j.r.mgc("nodepool", "update", j.id, poolName, "--replicas", fmt.Sprint(replicas), "--wait", "--wait-timeout", "5m")
	if res.code != 0 {
		t.Fatalf("%s", res)
	}
	t.Logf("%d replicas after %s", replicas, time.Since(start).Round(100*time.Millisecond))
	j.waitNodes(t, replicas+1, 2*time.Minute)
	j.waitInstances(t, replicas+1)
	eventually(t, 30*time.Second, "mgc shows the nodes", func() error {
		if got := len(j.poolNodes(t, poolName)); got != replicas {
			return fmt.Errorf("mgc shows %d nodes", got)
		}
		return nil
	})
}

// waitInstances waits until the cluster has exactly n machines in the cloud.
func (c *cluster) waitInstances(t *testing.T, n int) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("%s has %d machines", c.name, n), func() error {
		found, err := c.r.inCloud(t.Context(), c.id)
		if err != nil {
			return err
		}
		machines := slices.DeleteFunc(found, func(o cloudObject) bool { return o.kind != "instance" })
		if len(machines) != n {
			return fmt.Errorf("%v", machines)
		}
		return nil
	})
}

func (j *journey) labelsTaintsMaxPods(t *testing.T) {
	const pool = "special"
	res := j.r.mgc("nodepool", "create", j.id, "--name", pool, "--flavor", "BV2-4-40", "--replicas", "1", "--max-pods-per-node", "64",
		"--labels", `{"team": "billing"}`, "--taints", `[{"key": "dedicated", "value": "billing", "effect": "NoSchedule"}]`, "--wait", "--wait-timeout", "5m")
	if res.code != 0 {
		t.Fatalf("%s", res)
	}
	nodes := j.waitNodes(t, 5, 2*time.Minute)
	i := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Labels["team"] == "billing" })
	if i < 0 {
		t.Fatal("no node has the pool's label")
	}
	node := nodes[i]
	want := corev1.Taint{Key: "dedicated", Value: "billing", Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(have corev1.Taint) bool { return have.MatchTaint(&want) && have.Value == want.Value }) {
		t.Errorf("taints %v lack %v", node.Spec.Taints, want)
	}
	if pods := node.Status.Capacity.Pods().Value(); pods != 64 {
		t.Errorf("the node takes %d pods, want 64", pods)
	}
	if res := j.r.mgc("nodepool", "delete", j.id, pool, "--no-confirm", "--wait", "--wait-timeout", "5m"); res.code != 0 {
		t.Fatalf("%s", res)
	}
	j.waitNodes(t, 4, time.Minute)
	j.waitInstances(t, 4)
}

// allowedCIDRs shuts this machine out and lets it in again; the cluster's own nodes stay connected.
func (j *journey) allowedCIDRs(t *testing.T) {
	update := func(list string) {
		t.Helper()
		if res := j.r.mgc("cluster", "update", j.id, "--allowed-cidrs", list, "--wait", "--wait-timeout", "3m"); res.code != 0 {
			t.Fatalf("%s", res)
		}
	}
	reachable := func() bool { return j.kubectl("get", "--raw", "/readyz", "--request-timeout=3s").code == 0 }
	update(`["192.0.2.0/24"]`)
	eventually(t, time.Minute, "this machine is shut out", func() error {
		if reachable() {
			return fmt.Errorf("the API server still answers")
		}
		return nil
	})
	update(`[]`)
	eventually(t, time.Minute, "this machine is let in", func() error {
		if !reachable() {
			return fmt.Errorf("the API server does not answer")
		}
		return nil
	})
	j.waitNodes(t, 2, time.Minute)
}

func (j *journey) delete(t *testing.T) {
	tr := j.record(t)
	if len(tr.instances) != 2 || len(tr.balancers) != 1 {
		t.Errorf("before: %+v", tr)
	}
	start := time.Now()
	if res := j.r.mgc("cluster", "delete", j.name, "--no-confirm", "--wait", "--wait-timeout", "5m"); res.code != 0 || res.stdout != "" {
		t.Fatalf("%s", res)
	}
	t.Logf("gone after %s", time.Since(start).Round(100*time.Millisecond))
	j.waitGone(t)
	j.r.expectNothing(t, tr)
	if ports := j.r.ports(t); ports != j.ports {
		t.Errorf("the tenant had %d ports before, %d after", j.ports, ports)
	}
	if res := j.r.mgc("cluster", "delete", j.id, "--no-confirm"); res.code != 3 {
		t.Errorf("deleting it again: %s", res)
	}
}
