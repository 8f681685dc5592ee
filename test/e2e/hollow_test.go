//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	hollowPool  = "hollow"
	hollowNodes = 5
	hollowLimit = 3 * time.Minute
)

const hollowManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: hollow-web, namespace: default}
spec:
  replicas: 20
  selector: {matchLabels: {app: hollow-web}}
  template:
    metadata: {labels: {app: hollow-web}}
    spec:
      nodeSelector: {mke.magalu.cloud/hollow: "true"}
      containers: [{name: web, image: "docker.io/library/nginx:latest"}]
`

// hollow takes a pool of hollow nodes beside the real ones up, loses their process, and takes the pool away again.
func (j *journey) hollow(t *testing.T) {
	real := len(j.waitNodes(t, 2, 2*time.Minute))
	j.r.mustMgc(t, "nodepool", "create", j.id, "--name", hollowPool, "--flavor", "HL2-4-40", "--replicas", fmt.Sprint(hollowNodes))
	start := time.Now()
	before := j.waitHollow(t, real)
	t.Logf("%d hollow nodes ready after %s", hollowNodes, time.Since(start).Round(100*time.Millisecond))
	j.apply(t, hollowManifest)
	j.mustKubectl(t, "rollout", "status", "deployment/hollow-web", "--timeout=3m")
	var serving corev1.PodList
	if err := j.list(&serving, "pods", "-n", "kube-system", "-l", "k8s-app in (coredns, metrics-server)"); err != nil || len(serving.Items) == 0 {
		t.Fatalf("%d pods that serve the cluster, %v", len(serving.Items), err)
	}
	for _, pod := range serving.Items {
		if _, hollow := before[pod.Spec.NodeName]; hollow {
			t.Errorf("%s is on the hollow node %s, where it serves nobody", pod.Name, pod.Spec.NodeName)
		}
	}

	first := j.r.hollowPID(t)
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the process of hollow VMs is there again", func() error {
		if pid := j.r.hollowPID(t); pid == first || syscall.Kill(pid, 0) != nil {
			return fmt.Errorf("process %d", pid)
		}
		return nil
	})
	j.mustKubectl(t, "scale", "deployment/hollow-web", "--replicas=30")
	j.mustKubectl(t, "rollout", "status", "deployment/hollow-web", "--timeout=3m")
	for name, n := range j.waitHollow(t, real) {
		if old, there := before[name]; !there || old.UID != n.UID {
			t.Errorf("node %s is another one since its process restarted", name)
		}
	}

	j.mustKubectl(t, "delete", "deployment/hollow-web", "--wait=false")
	j.r.mustMgc(t, "nodepool", "delete", j.id, hollowPool, "--no-confirm")
	j.waitNodes(t, real, hollowLimit)
	j.waitInstances(t, real)
}

// waitHollow waits for the hollow nodes beside the real ones.
func (j *journey) waitHollow(t *testing.T, real int) map[string]corev1.Node {
	t.Helper()
	found := map[string]corev1.Node{}
	for _, n := range j.waitNodes(t, real+hollowNodes, hollowLimit) {
		if n.Labels["mke.magalu.cloud/hollow"] == "true" {
			found[n.Name] = n
		}
	}
	if len(found) != hollowNodes {
		t.Fatalf("%d nodes say that they are hollow, want %d", len(found), hollowNodes)
	}
	return found
}

func (r *region) hollowPID(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.data, "cloud", "hollow", "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
