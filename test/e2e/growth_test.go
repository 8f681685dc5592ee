//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// roomFor300 is a network in which a cluster may have more nodes than the smallest control plane looks after.
var roomFor300 = []string{"--cluster-ipv4-cidr", "10.128.0.0/12", "--services-ipv4-cidr", "10.96.0.0/16"}

// controlPlaneGrows lets node pools outgrow the control plane: a larger one takes its place, with all that is in the cluster and under the
// same address.
func (c *cluster) controlPlaneGrows(t *testing.T) {
	start, endpoint := time.Now(), c.endpoint(t)
	first := c.controlPlane(t)
	c.r.mustMgc(t, "nodepool", "create", c.id, "--name", "many", "--flavor", "HL2-4-40", "--replicas", "0", "--auto-scale.min-replicas", "0",
		"--auto-scale.max-replicas", "300")
	eventually(t, creationLimit, "a larger control plane has taken over", func() error {
		return c.controlPlaneIs(func(n corev1.Node) bool {
			return n.Name != first.Name && n.Labels[corev1.LabelInstanceTypeStable] == "BV4-16-40" && nodeReady(n)
		})
	})
	c.waitRunning(t)
	t.Logf("the control plane grew in %s", time.Since(start).Round(100*time.Millisecond))
	c.fetchKubeconfig(t, t.TempDir())
	if now := c.endpoint(t); now != endpoint {
		t.Errorf("the API server moved from %s to %s", endpoint, now)
	}
	c.mustKubectl(t, "rollout", "status", "deployment/nginx", "--timeout=3m")
	c.r.mustMgc(t, "nodepool", "delete", c.id, "many", "--no-confirm")
}

// controlPlane is the only node of the control plane.
func (c *cluster) controlPlane(t *testing.T) (only corev1.Node) {
	t.Helper()
	if err := c.controlPlaneIs(func(n corev1.Node) bool { only = n; return true }); err != nil {
		t.Fatal(err)
	}
	return only
}

// controlPlaneIs says why the control plane is not one node that is as wanted.
func (c *cluster) controlPlaneIs(wanted func(corev1.Node) bool) error {
	nodes, err := c.nodes()
	if err != nil {
		return err
	}
	nodes = slices.DeleteFunc(nodes, func(n corev1.Node) bool { return !isControlPlane(n) })
	if len(nodes) == 1 && wanted(nodes[0]) {
		return nil
	}
	var found []string
	for _, n := range nodes {
		found = append(found, fmt.Sprintf("%s %s, Ready %t", n.Labels[corev1.LabelInstanceTypeStable], n.Name, nodeReady(n)))
	}
	return fmt.Errorf("the control plane is %q", found)
}
