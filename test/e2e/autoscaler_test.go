//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

const autoscaledManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: on-demand, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: on-demand}}
  template:
    metadata: {labels: {app: on-demand}}
    spec:
      nodeSelector: {tier: on-demand}
      tolerations: [{key: on-demand, operator: Exists}]
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: on-demand}}}]
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: "docker.io/library/nginx:latest", imagePullPolicy: IfNotPresent}]
`

// autoscaled has Pods bring real nodes to an empty pool, up to its limit, and the pool go back to none without them.
func (j *journey) autoscaled(t *testing.T) {
	const pool = "on-demand"
	others := len(j.waitNodes(t, 2, 2*time.Minute))
	j.r.mustMgc(t, "nodepool", "create", j.id, "--name", pool, "--flavor", poolFlavor, "--replicas", "0", "--auto-scale.min-replicas", "0",
		"--auto-scale.max-replicas", "2", "--labels", `{"tier": "on-demand"}`, "--taints", `[{"key": "on-demand", "value": "yes", "effect": "NoSchedule"}]`)
	start := time.Now()
	j.apply(t, autoscaledManifest)
	j.mustKubectl(t, "rollout", "status", "deployment/on-demand", "--timeout=4m")
	t.Logf("two nodes from none, Pods running on them after %s", time.Since(start).Round(100*time.Millisecond))
	j.waitNodes(t, others+2, time.Minute)
	j.waitReplicas(t, pool, 2)
	j.waitEvent(t, "TriggeredScaleUp", pool)

	j.mustKubectl(t, "scale", "deployment/on-demand", "--replicas=3")
	j.waitEvent(t, "NotTriggerScaleUp", "max node group size reached")

	start = time.Now()
	j.mustKubectl(t, "delete", "deployment/on-demand")
	j.waitNodes(t, others, 3*time.Minute)
	t.Logf("no node any more %s after the Pods", time.Since(start).Round(100*time.Millisecond))
	j.waitInstances(t, others)
	j.waitReplicas(t, pool, 0)
	j.r.mustMgc(t, "nodepool", "delete", j.id, pool, "--no-confirm")
}

// burstManifest has Pods that want a node each.
const burstManifest = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: burst, namespace: default}
spec:
  replicas: 10
  selector: {matchLabels: {app: burst}}
  template:
    metadata: {labels: {app: burst}}
    spec:
      nodeSelector: {tier: burst}
      affinity:
        podAntiAffinity:
          requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: burst}}}]
      containers: [{name: web, image: "docker.io/library/nginx:latest"}]
`

// quota ends in the middle of a growth, which says so and goes on when there is more.
func (j *journey) quota(t *testing.T) {
	const pool, admitted, wanted = "burst", 4, 10
	others := len(j.waitNodes(t, 2, 2*time.Minute))
	j.r.mustMgc(t, "nodepool", "create", j.id, "--name", pool, "--flavor", "HL2-4-40", "--replicas", "0", "--auto-scale.min-replicas", "0",
		"--auto-scale.max-replicas", "20", "--labels", `{"tier": "burst"}`)
	have, err := j.r.cloud.Compute.ListInstances(t.Context(), mgc.ListInstancesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	limit := len(have) + admitted
	t.Cleanup(func() { j.r.limitInstances(t, nil) })
	j.r.limitInstances(t, &limit)
	j.apply(t, burstManifest)
	j.waitNodes(t, others+admitted, hollowLimit)
	j.waitEvent(t, "NotTriggerScaleUp", "quota")
	eventually(t, time.Minute, "the API says what ended the growth", func() error {
		res := j.r.mgc("nodepool", "get", j.id, pool, "-o", "json", "--raw")
		if res.code != 0 || !strings.Contains(res.stdout, "quota") {
			return fmt.Errorf("%s", res)
		}
		return nil
	})

	start := time.Now()
	j.r.limitInstances(t, nil)
	j.waitNodes(t, others+wanted, hollowLimit)
	t.Logf("the growth went on, %d nodes are there %s after the quota was raised", wanted, time.Since(start).Round(100*time.Millisecond))
	j.mustKubectl(t, "rollout", "status", "deployment/burst", "--timeout=1m")
	j.waitReplicas(t, pool, wanted)

	j.mustKubectl(t, "delete", "deployment/burst", "--wait=false")
	j.r.mustMgc(t, "nodepool", "delete", j.id, pool, "--no-confirm")
	j.waitNodes(t, others, hollowLimit)
	j.waitInstances(t, others)
}

// waitReplicas waits until the API shows the number of nodes that the autoscaler chose.
func (c *cluster) waitReplicas(t *testing.T, pool string, want int) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("the API shows %d replicas of %s", want, pool), func() error {
		res := c.r.mgc("nodepool", "get", c.id, pool, "-o", "jsonpath=$.replicas", "--raw")
		if got := strings.TrimSpace(res.stdout); res.code != 0 || got != fmt.Sprint(want) {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
}

// waitEvent waits for an event in the namespace default whose message has the text.
func (c *cluster) waitEvent(t *testing.T, reason, text string) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("an event %s says %q", reason, text), func() error {
		res := c.kubectl("get", "events", "--field-selector", "reason="+reason, "-o", "jsonpath={.items[*].message}")
		if res.code != 0 || !strings.Contains(res.stdout, text) {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
}
