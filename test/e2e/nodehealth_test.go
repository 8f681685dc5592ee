//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	healthPool     = "health"
	healthSelector = "mke.magalu.cloud/node-pool=" + healthPool
)

// survivorManifest is one Pod that may run on the pool's Nodes only.
const survivorManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: node-health}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: survivor, namespace: node-health}
spec:
  serviceName: survivor
  replicas: 1
  selector: {matchLabels: {app: survivor}}
  template:
    metadata: {labels: {app: survivor}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {mke.magalu.cloud/node-pool: health}
      tolerations: [{key: health, operator: Exists}]
      containers:
      - {name: survivor, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: ["sleep", "100000"]}
`

// testNodeHealth lets VMs of a node pool of its own die in several ways. It may run beside other tests in the same cluster.
func testNodeHealth(t *testing.T, c *cluster) {
	if res := c.r.mgc("nodepool", "create", c.id, "--name", healthPool, "--flavor", "BV2-4-40", "--replicas", "2",
		"--taints", `[{"key": "health", "value": "test", "effect": "NoSchedule"}]`, "--wait", "--wait-timeout", "5m"); res.code != 0 {
		t.Fatalf("%s", res)
	}
	defer func() {
		c.mustKubectl(t, "delete", "namespace", "node-health", "--ignore-not-found", "--wait=false")
		if res := c.r.mgc("nodepool", "delete", c.id, healthPool, "--no-confirm", "--wait", "--wait-timeout", "5m"); res.code != 0 {
			t.Errorf("%s", res)
		}
	}()
	c.waitHealthNodes(t, 2*time.Minute)
	c.apply(t, survivorManifest)
	c.mustKubectl(t, "-n", "node-health", "rollout", "status", "statefulset/survivor", "--timeout=2m")
	inOrder(t,
		step{"CloudCannotTell", c.cloudCannotTell},
		step{"Deleted", c.vmDeleted},
		step{"StoppedAndRebooted", c.vmStoppedAndRebooted},
	)
}

// cloudCannotTell lets a kubelet be silent while the cloud answers nothing but 429: the Node stays as it is.
func (c *cluster) cloudCannotTell(t *testing.T) {
	nodes := c.healthNodes(t)
	kubelet := c.r.kubeletOf(t, instanceOf(nodes[0]))
	c.r.injectFault(t, map[string]any{"status": 429, "path_prefix": "/compute", "duration_s": 30})
	if err := syscall.Kill(kubelet, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(kubelet, syscall.SIGCONT) }()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Second) {
		now := c.healthNodes(t)
		if len(now) != len(nodes) || slices.ContainsFunc(now, fenced) {
			t.Fatalf("the cloud cannot tell, but nodes changed: %s", names(now))
		}
	}
	if err := syscall.Kill(kubelet, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.waitHealthNodes(t, time.Minute)
	if after := c.healthNodes(t); names(after) != names(nodes) {
		t.Errorf("nodes before: %s, after: %s", names(nodes), names(after))
	}
}

// vmDeleted deletes the VM below the Pod behind the platform's back.
func (c *cluster) vmDeleted(t *testing.T) {
	victim := c.survivorNode(t)
	if err := c.r.cloud.Compute.DeleteInstance(t.Context(), instanceOf(victim)); err != nil {
		t.Fatal(err)
	}
	c.waitSurvivorElsewhere(t, victim.Name)
	eventually(t, time.Minute, "the node is gone", func() error {
		if nodes := c.healthNodes(t); slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == victim.Name }) {
			return fmt.Errorf("%s", names(nodes))
		}
		return nil
	})
	c.waitHealthNodes(t, 2*time.Minute)
}

// vmStoppedAndRebooted stops the VM below the Pod, which is replaced, and then reboots the other one, which is not.
func (c *cluster) vmStoppedAndRebooted(t *testing.T) {
	victim := c.survivorNode(t)
	if err := c.r.cloud.Compute.StopInstance(t.Context(), instanceOf(victim)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the node is NotReady", func() error {
		for _, n := range c.healthNodes(t) {
			if n.Name == victim.Name && nodeReady(n) {
				return fmt.Errorf("it is Ready")
			}
		}
		return nil
	})
	c.waitSurvivorElsewhere(t, victim.Name)
	other := c.survivorNode(t)
	if err := c.r.cloud.Compute.RebootInstance(t.Context(), instanceOf(other)); err != nil {
		t.Fatal(err)
	}
	eventually(t, 3*time.Minute, "the stopped machine is replaced", func() error {
		nodes := c.healthNodes(t)
		if len(nodes) != 2 || slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == victim.Name || !nodeReady(n) }) {
			return fmt.Errorf("%s", names(nodes))
		}
		return nil
	})
	if now := c.survivorNode(t); now.Name != other.Name {
		t.Errorf("a rebooted machine was given up: the Pod moved from %s to %s", other.Name, now.Name)
	}
}

func (c *cluster) healthNodes(t *testing.T) []corev1.Node {
	t.Helper()
	var list corev1.NodeList
	if err := json.Unmarshal([]byte(c.mustKubectl(t, "get", "nodes", "-l", healthSelector, "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func (c *cluster) waitHealthNodes(t *testing.T, limit time.Duration) {
	t.Helper()
	eventually(t, limit, "the pool has 2 nodes, Ready", func() error {
		nodes := c.healthNodes(t)
		if len(nodes) != 2 || !nodeReady(nodes[0]) || !nodeReady(nodes[1]) {
			return fmt.Errorf("%s", names(nodes))
		}
		return nil
	})
}

// survivorNode is where the Pod runs.
func (c *cluster) survivorNode(t *testing.T) corev1.Node {
	t.Helper()
	name := c.mustKubectl(t, "-n", "node-health", "get", "pod", "survivor-0", "-o", "jsonpath={.spec.nodeName}")
	for _, n := range c.healthNodes(t) {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("the Pod is on %q", name)
	return corev1.Node{}
}

func (c *cluster) waitSurvivorElsewhere(t *testing.T, than string) {
	t.Helper()
	eventually(t, 90*time.Second, "the Pod runs on another node", func() error {
		res := c.kubectl("-n", "node-health", "get", "pod", "survivor-0", "-o", `jsonpath={.spec.nodeName} {.status.conditions[?(@.type=="Ready")].status}`)
		if node, ready, _ := strings.Cut(res.stdout, " "); res.code != 0 || node == "" || node == than || ready != "True" {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
}

// instanceOf is the id of a Node's VM.
func instanceOf(n corev1.Node) string {
	return n.Spec.ProviderID[strings.LastIndex(n.Spec.ProviderID, "/")+1:]
}

func fenced(n corev1.Node) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(taint corev1.Taint) bool { return taint.Key == corev1.TaintNodeOutOfService })
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

// kubeletOf finds the kubelet's process of a VM.
func (r *region) kubeletOf(t *testing.T, instance string) int {
	t.Helper()
	for pid, cmdline := range processes() {
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && strings.HasPrefix(cmdline, "/usr/bin/kubelet ") && bytes.Contains(cgroup, []byte("mke/"+instance)) {
			return pid
		}
	}
	t.Fatalf("machine %s has no kubelet", instance)
	return 0
}

// injectFault disturbs the cloud's API, see docs/cloud.md.
func (r *region) injectFault(t *testing.T, fault map[string]any) {
	t.Helper()
	body, err := json.Marshal(fault)
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(r.data, "cloud", "run", "cloud.sock")
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	req, err := http.NewRequest(http.MethodPut, "http://cloud/internal/v1/faults", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode/100 != 2 {
		t.Fatalf("the fault was not taken: %s", res.Status)
	}
}
