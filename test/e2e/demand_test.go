//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Two pools that nobody needs at first, alike but for their zone.
const (
	demandJSON = `{"flavor": "BV2-4-40", "name": "demand-a", "replicas": 0, "availability_zones": ["a"], ` + demandKind + `},
		{"flavor": "BV2-4-40", "name": "demand-b", "replicas": 0, "availability_zones": ["b"], ` + demandKind + `}`
	demandKind = `"auto_scale": {"min_replicas": 0, "max_replicas": 4}, "labels": {"tier": "demand"},
		"taints": [{"key": "demand", "value": "yes", "effect": "NoSchedule"}]`

	demandPool      = "demand-b"
	demandNamespace = "demand"
	demandLimit     = 4 * time.Minute
	demandAvailable = 3 // of 4 Pods, by their budget
)

// demand is Pods that bring nodes, and budgets that let them go slowly or never.
type demand struct {
	*cluster
	sizes *watch // of the pools
}

// testDemand may run beside other tests in the same cluster.
func testDemand(t *testing.T, c *cluster) {
	d := &demand{cluster: c}
	d.sizes = d.watch(t, c.r.status.ManagementKubeconfig, "machinedeployments.v1beta2.cluster.x-k8s.io", "-A", "-o", `jsonpath={.metadata.name} {.spec.replicas}{"\n"}`)
	d.apply(t, `{apiVersion: v1, kind: Namespace, metadata: {name: demand}}`)
	inOrder(t,
		step{"VolumesChooseTheZone", d.volumesChooseTheZone},
		step{"BudgetSlowsDown", d.budgetSlowsDown},
		step{"BudgetThatNeverAllows", d.budgetThatNeverAllows},
		step{"ToNone", d.toNone},
	)
}

// volumesChooseTheZone has a Pod with a volume in zone b and one with a volume to be made there, apart from each other, bring two nodes, and
// kills the autoscaler once it has decided.
func (d *demand) volumesChooseTheZone(t *testing.T) {
	zone := d.r.status.Region + "-b"
	near := d.resident(t, zone)
	d.apply(t, demandVolumePod("maker", "old", "kubernetes.io/hostname", near, "")+demandClaim("old")+demandClaim("new"))
	d.mustKubectl(t, "-n", demandNamespace, "wait", "pod/maker", "--for=condition=Ready", "--timeout=2m")
	d.mustKubectl(t, "-n", demandNamespace, "delete", "pod", "maker")
	start := time.Now()
	d.apply(t, demandVolumePod("old", "old", "tier", "demand", "")+demandVolumePod("new", "new", "tier", "demand", zone))
	d.waitDemandEvent(t, "reason=TriggeredScaleUp", demandPool)
	kill(t, `^\S*mke autoscaler `)
	d.mustKubectl(t, "-n", demandNamespace, "wait", "pod/old", "pod/new", "--for=condition=Ready", "--timeout="+demandLimit.String())
	t.Logf("two nodes in the zone of the volumes after %s, the autoscaler was killed meanwhile", time.Since(start).Round(100*time.Millisecond))
	for _, n := range d.demandNodes(t, 2) {
		if n.Labels[poolLabel] != demandPool || n.Labels[storageZone] != zone {
			t.Errorf("node %s is of pool %s in zone %s", n.Name, n.Labels[poolLabel], n.Labels[storageZone])
		}
	}
	d.waitReplicas(t, "demand-a", 0)
	d.waitReplicas(t, demandPool, 2)
}

// resident is a node of the zone that stays.
func (d *demand) resident(t *testing.T, zone string) string {
	t.Helper()
	var list corev1.NodeList
	if err := d.list(&list, "nodes", "-l", poolLabel+"="+poolName+","+storageZone+"="+zone); err != nil || len(list.Items) == 0 {
		t.Fatalf("pool %s has %d nodes in zone %s, %v", poolName, len(list.Items), zone, err)
	}
	return list.Items[0].Name
}

// budgetSlowsDown has Pods on both nodes that fit on one: one node is drained, one Pod after the other, and the autoscaler is killed in the
// middle.
func (d *demand) budgetSlowsDown(t *testing.T) {
	d.apply(t, demandDeployment("guarded", 1)+demandBudget("guarded", "maxUnavailable: 0")+demandDeployment("web", 4)+demandBudget("web", "minAvailable: 3"))
	for _, name := range []string{"guarded", "web"} {
		d.mustKubectl(t, "-n", demandNamespace, "rollout", "status", "deployment/"+name, "--timeout=2m")
	}
	stays := d.nodeOf(t, "guarded")
	var drained corev1.Node
	for _, n := range d.demandNodes(t, 2) {
		if n.Name != stays {
			drained = n
		}
	}
	if n := d.webOn(t, drained.Name); n < 2 {
		t.Errorf("%d Pods are to move, the budget does not slow that down", n)
	}
	available := d.watchAvailable(t)
	d.mustKubectl(t, "-n", demandNamespace, "delete", "pod", "old", "new")
	eventually(t, 2*time.Minute, drained.Name+" is being drained", func() error {
		taints := d.mustKubectl(t, "get", "node", drained.Name, "-o", "jsonpath={.spec.taints[*].key}")
		if !strings.Contains(taints, "ToBeDeletedByClusterAutoscaler") {
			return fmt.Errorf("taints %s", taints)
		}
		return nil
	})
	kill(t, `^\S*mke autoscaler `)
	t.Logf("the autoscaler was killed with %d Pods left on the node", d.webOn(t, drained.Name))
	left := d.waitDemandNodes(t, 1)
	if left[0].Name != stays {
		t.Errorf("%s is left, not %s, which a budget keeps", left[0].Name, stays)
	}
	d.waitReplicas(t, demandPool, 1)
	available.least(t, demandAvailable)
}

// budgetThatNeverAllows keeps the last node although its Pods find room elsewhere, and says so.
func (d *demand) budgetThatNeverAllows(t *testing.T) {
	node := d.nodeOf(t, "guarded")
	d.mustKubectl(t, "label", "node", d.resident(t, d.r.status.Region+"-b"), "tier=demand")
	d.waitDemandEvent(t, "reason=NoScaleDown,involvedObject.name="+node, "PodDisruptionBudget demand/guarded")
	eventually(t, time.Minute, "the API says what keeps the node", func() error {
		res := d.r.mgc("nodepool", "get", d.id, demandPool, "-o", "json", "--raw")
		if res.code != 0 || !strings.Contains(res.stdout, "PodDisruptionBudget demand/guarded") {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
	n := d.demandNodes(t, 1)[0]
	if n.Name != node || slices.ContainsFunc(n.Spec.Taints, func(taint corev1.Taint) bool { return taint.Key == "ToBeDeletedByClusterAutoscaler" }) {
		t.Errorf("node %s has taints %v", n.Name, n.Spec.Taints)
	}
}

// toNone deletes the budget that keeps the last node.
func (d *demand) toNone(t *testing.T) {
	available := d.watchAvailable(t)
	start := time.Now()
	d.mustKubectl(t, "-n", demandNamespace, "delete", "poddisruptionbudget", "guarded")
	d.waitDemandNodes(t, 0)
	t.Logf("no node any more %s after the budget", time.Since(start).Round(100*time.Millisecond))
	d.waitReplicas(t, demandPool, 0)
	available.least(t, demandAvailable)
	d.sizes.stop()
	// The two Pods may have come between two looks. Nothing else makes a node, and none is made again.
	if got := strings.Join(d.sizes.of(demandPool), " "); got != "0 2 1 0" && got != "0 1 2 1 0" {
		t.Errorf("the pool had the sizes %s, want 0, 2, 1, 0", got)
	}
	if got := d.sizes.of("demand-a"); !slices.Equal(got, []string{"0"}) {
		t.Errorf("the pool of the other zone had the sizes %v", got)
	}
	d.mustKubectl(t, "label", "node", d.resident(t, d.r.status.Region+"-b"), "tier-")
	d.mustKubectl(t, "delete", "namespace", demandNamespace, "--timeout=2m")
}
