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

// The pool of Nodes that die is in one zone, as the volumes of its Pods are.
const (
	poolLabel  = "mke.magalu.cloud/node-pool"
	healthPool = "health"
	healthSize = 3
	healthJSON = `{"flavor": "BV2-4-40", "name": "health", "replicas": 3, "availability_zones": ["a"],
		"taints": [{"key": "health", "value": "test", "effect": "NoSchedule"}]}`
)

// moveLimit is how long Pods with volumes may take to run elsewhere.
const moveLimit = 90 * time.Second

// nodeHealth lets VMs of a pool of its own die in several ways, with volumes attached. Replacements take a minute and more: the steps
// do not wait for them, only the last one does.
type nodeHealth struct {
	*cluster
	lost []string // names of Nodes that have to be replaced
}

// testNodeHealth may run beside other tests in the same cluster.
func testNodeHealth(t *testing.T, c *cluster) {
	h := &nodeHealth{cluster: c}
	defer h.removeSurvivors(t)
	inOrder(t,
		step{"StatefulSet", h.makeSurvivors},
		step{"Stopped", h.vmStopped},
		step{"Deleted", h.vmDeleted},
		step{"ScaledDownAndUp", h.scaledDownAndUp},
		step{"Rebooted", h.vmRebooted},
		step{"Replaced", h.vmsReplaced},
	)
}

// vmStopped stops a VM that has volumes.
func (h *nodeHealth) vmStopped(t *testing.T) {
	victim := h.survivorNode(t)
	if err := h.r.cloud.Compute.StopInstance(t.Context(), instanceOf(victim)); err != nil {
		t.Fatal(err)
	}
	h.lost = append(h.lost, victim.Name)
	h.waitSurvivors(t, moveLimit)
	if n := slices.IndexFunc(h.healthNodes(t), func(n corev1.Node) bool { return n.Name == victim.Name && nodeReady(n) }); n >= 0 {
		t.Errorf("the VM of %s is stopped, but the Node is Ready", victim.Name)
	}
	h.expectAttached(t, survivorNamespace)
}

// vmDeleted deletes a VM that has volumes behind the platform's back.
func (h *nodeHealth) vmDeleted(t *testing.T) {
	victim := h.survivorNode(t)
	if err := h.r.cloud.Compute.DeleteInstance(t.Context(), instanceOf(victim)); err != nil {
		t.Fatal(err)
	}
	h.lost = append(h.lost, victim.Name)
	h.waitSurvivors(t, moveLimit)
	h.expectAttached(t, survivorNamespace)
}

// vmRebooted reboots a VM that has volumes: it is not given up, and its Pods go on there.
func (h *nodeHealth) vmRebooted(t *testing.T) {
	node := h.survivorNode(t)
	begun := time.Now()
	if err := h.r.cloud.Compute.RebootInstance(t.Context(), instanceOf(node)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 2*time.Minute, "the Pods run again on the same node", func() error {
		stayed := false
		for _, p := range h.survivorPods(t) {
			if p.Spec.NodeName != node.Name {
				continue
			}
			stayed = stayed || p.Name == survivorName(0)
			if at := startedAt(p); !podReady(p) || at.Before(begun) {
				return fmt.Errorf("%s is Ready: %v, and runs since %s", p.Name, podReady(p), at)
			}
		}
		if !stayed {
			t.Fatalf("a rebooted machine was given up: the first Pod is not on %s any more", node.Name)
		}
		return nil
	})
	h.waitSurvivors(t, time.Minute)
	if now := h.survivorNode(t); now.UID != node.UID {
		t.Errorf("a rebooted machine was given up: %s is another Node now", node.Name)
	}
	h.expectAttached(t, survivorNamespace)
}

// vmsReplaced waits until the pool has its size again, without those that were lost.
func (h *nodeHealth) vmsReplaced(t *testing.T) {
	eventually(t, 3*time.Minute, "the lost machines are replaced", func() error {
		nodes := h.healthNodes(t)
		if len(nodes) != healthSize || slices.ContainsFunc(nodes, func(n corev1.Node) bool { return !nodeReady(n) || slices.Contains(h.lost, n.Name) }) {
			return fmt.Errorf("lost were %v, there are %s", h.lost, names(nodes))
		}
		return nil
	})
	h.waitSurvivors(t, time.Minute)
	h.expectAttached(t, survivorNamespace)
}

func (c *cluster) healthNodes(t *testing.T) []corev1.Node {
	t.Helper()
	var list corev1.NodeList
	if err := c.list(&list, "nodes", "-l", poolLabel+"="+healthPool); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func (c *cluster) waitHealthNodes(t *testing.T, limit time.Duration) {
	t.Helper()
	eventually(t, limit, "the pool has its nodes, Ready", func() error {
		nodes := c.healthNodes(t)
		if len(nodes) != healthSize || slices.ContainsFunc(nodes, func(n corev1.Node) bool { return !nodeReady(n) }) {
			return fmt.Errorf("%s", names(nodes))
		}
		return nil
	})
}

// instanceOf is the id of a Node's VM.
func instanceOf(n corev1.Node) string {
	return n.Spec.ProviderID[strings.LastIndex(n.Spec.ProviderID, "/")+1:]
}

// names of Nodes, with their condition.
func names(nodes []corev1.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, fmt.Sprintf("%s (Ready: %v)", n.Name, nodeReady(n)))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// identities of Nodes: one that was deleted and made again is another.
func identities(nodes []corev1.Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name+"/"+string(n.UID))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
