//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	survivorNamespace = "node-health"
	survivors         = 3
)

// survivorManifest is a StatefulSet with data that may run on the Nodes that die only.
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
  replicas: 3
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: survivor}}
  template:
    metadata: {labels: {app: survivor}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {mke.magalu.cloud/node-pool: health}
      tolerations: [{key: health, operator: Exists}]
      containers:
      - {name: survivor, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: ["sleep", "100000"],
         volumeMounts: [{name: data, mountPath: /data}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: mgc-csi-magalu-delete-sc, accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}
`

func survivorName(n int) string { return fmt.Sprintf("survivor-%d", n) }

// makeSurvivors gives each Pod data of its own.
func (h *nodeHealth) makeSurvivors(t *testing.T) {
	h.apply(t, survivorManifest)
	h.mustKubectl(t, "-n", survivorNamespace, "rollout", "status", "statefulset/survivor", "--timeout=2m")
	for n := range survivors {
		h.mustKubectl(t, "-n", survivorNamespace, "exec", survivorName(n), "--", "sh", "-c", "hostname > /data/file && sync")
	}
	h.waitSurvivors(t, time.Minute)
	h.expectAttached(t, survivorNamespace)
}

// waitSurvivors waits until all Pods run on Nodes that are not lost, and looks for their data.
func (h *nodeHealth) waitSurvivors(t *testing.T, limit time.Duration) {
	t.Helper()
	eventually(t, limit, "all Pods of the StatefulSet run on nodes that live", func() error {
		pods := h.survivorPods(t)
		for _, p := range pods {
			if !podReady(p) || slices.Contains(h.lost, p.Spec.NodeName) {
				return fmt.Errorf("%s is on %s, Ready: %v", p.Name, p.Spec.NodeName, podReady(p))
			}
		}
		if len(pods) != survivors {
			return fmt.Errorf("there are %d", len(pods))
		}
		return nil
	})
	for n := range survivors {
		if got := h.mustKubectl(t, "-n", survivorNamespace, "exec", survivorName(n), "--", "cat", "/data/file"); got != survivorName(n)+"\n" {
			t.Errorf("%s finds %q", survivorName(n), got)
		}
	}
}

// scaledDownAndUp takes two Pods away and brings them back.
func (h *nodeHealth) scaledDownAndUp(t *testing.T) {
	h.mustKubectl(t, "-n", survivorNamespace, "scale", "statefulset/survivor", "--replicas=1")
	eventually(t, time.Minute, "one Pod is left", func() error {
		if pods := h.survivorPods(t); len(pods) != 1 || pods[0].Name != survivorName(0) {
			return fmt.Errorf("there are %d", len(pods))
		}
		return nil
	})
	h.expectAttached(t, survivorNamespace)
	h.mustKubectl(t, "-n", survivorNamespace, "scale", "statefulset/survivor", "--replicas=3")
	h.waitSurvivors(t, moveLimit)
}

// removeSurvivors leaves nothing for the cluster's deletion to take along.
func (h *nodeHealth) removeSurvivors(t *testing.T) {
	if res := h.kubectl("delete", "namespace", survivorNamespace, "--ignore-not-found", "--timeout=2m"); res.code != 0 {
		t.Errorf("%s", res)
	}
}

func (h *nodeHealth) survivorPods(t *testing.T) []corev1.Pod {
	t.Helper()
	var list corev1.PodList
	if err := h.list(&list, "pods", "-n", survivorNamespace); err != nil {
		t.Fatal(err)
	}
	return list.Items
}

// survivorNode is where the first Pod runs.
func (h *nodeHealth) survivorNode(t *testing.T) corev1.Node {
	t.Helper()
	for _, p := range h.survivorPods(t) {
		for _, n := range h.healthNodes(t) {
			if p.Name == survivorName(0) && p.Spec.NodeName == n.Name {
				return n
			}
		}
	}
	t.Fatal("the first Pod is on none of the pool's nodes")
	return corev1.Node{}
}

func podReady(p corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// startedAt is when the Pod's only container began to run, zero if it does not.
func startedAt(p corev1.Pod) time.Time {
	for _, s := range p.Status.ContainerStatuses {
		if s.State.Running != nil {
			return s.State.Running.StartedAt.Time
		}
	}
	return time.Time{}
}
