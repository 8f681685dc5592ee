//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	addonsNamespace = "e2e-addons"
	repairLimit     = 30 * time.Second
	rolloutLimit    = 2 * time.Minute
	// metricsLimit is three measurements on a busy machine.
	metricsLimit = 2 * time.Minute
)

// busyManifest burns CPU, little of which it has asked for, so that the autoscaler wants more of it.
const busyManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: e2e-addons}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy, namespace: e2e-addons}
spec:
  replicas: 1
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: busy
        image: docker.io/library/busybox:latest
        imagePullPolicy: IfNotPresent
        command: ["sh", "-c", "while :; do :; done"]
        resources: {requests: {cpu: 10m}, limits: {cpu: 100m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy, namespace: e2e-addons}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: busy}
  minReplicas: 1
  maxReplicas: 3
  metrics:
  - type: Resource
    resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}
`

// testAddons breaks, disables and enables addons, and uses what metrics-server measures.
func testAddons(t *testing.T, c *cluster) {
	for _, name := range []string{"kube-proxy", "calico", "coredns", "metrics-server"} {
		c.waitAddon(t, name, "Ready")
	}
	t.Run("repair", func(t *testing.T) { testAddonRepair(t, c) })
	t.Run("disable and enable", func(t *testing.T) { testAddonSwitch(t, c) })
	t.Run("settings", func(t *testing.T) { testAddonSettings(t, c) })
	t.Run("metrics", func(t *testing.T) { testMetrics(t, c) })
}

// addon is what the API says about an addon.
type addon struct {
	Name    string
	Enabled bool
	Status  struct{ State, Message string }
}

func (c *cluster) waitAddon(t *testing.T, name, state string) {
	t.Helper()
	c.waitAddonFor(t, rolloutLimit, name, state)
}

func (c *cluster) waitAddonFor(t *testing.T, limit time.Duration, name, state string) {
	t.Helper()
	eventually(t, limit, name+" is "+state, func() error {
		res := c.r.mgc("addon", "get", c.id, name, "-o", "json", "--raw")
		var a addon
		if err := json.Unmarshal([]byte(res.stdout), &a); err != nil {
			return fmt.Errorf("%s", res)
		}
		if a.Status.State != state {
			return fmt.Errorf("it is %s: %s", a.Status.State, a.Status.Message)
		}
		return nil
	})
}

// field reads one field of an object, empty if there is none.
func (c *cluster) field(object, jsonPath string) string {
	args := append([]string{"-n", "kube-system", "get"}, strings.Fields(object)...)
	return c.kubectl(append(args, "--ignore-not-found", "-o", "jsonpath="+jsonPath)...).stdout
}

func testAddonRepair(t *testing.T, c *cluster) {
	uid := c.field("deployment coredns", "{.metadata.uid}")
	c.mustKubectl(t, "-n", "kube-system", "delete", "deployment", "coredns")
	c.mustKubectl(t, "delete", "clusterrole", "system:metrics-server")
	eventually(t, repairLimit, "what was deleted is back", func() error {
		if now := c.field("deployment coredns", "{.metadata.uid}"); now == "" || now == uid {
			return fmt.Errorf("deployment coredns: %q", now)
		}
		if c.field("clusterrole system:metrics-server", "{.metadata.uid}") == "" {
			return fmt.Errorf("the role of metrics-server is missing")
		}
		return nil
	})
	c.mustKubectl(t, "-n", "kube-system", "patch", "configmap", "kube-proxy", "--type=merge", "-p", `{"data":{"config.conf":"mode: broken"}}`)
	c.mustKubectl(t, "-n", "kube-system", "scale", "deployment", "coredns", "--replicas=0")
	eventually(t, repairLimit, "what was edited is as before", func() error {
		if config := c.field("configmap kube-proxy", `{.data.config\.conf}`); !strings.Contains(config, "nftables") {
			return fmt.Errorf("kube-proxy: %s", config)
		}
		if n := c.field("deployment coredns", "{.spec.replicas}"); n != "2" {
			return fmt.Errorf("coredns has %s replicas", n)
		}
		return nil
	})
	c.waitAddon(t, "coredns", "Ready")
}

func testAddonSwitch(t *testing.T, c *cluster) {
	others := []string{"daemonset kube-proxy", "daemonset calico-node", "deployment coredns", "configmap coredns", "service kube-dns"}
	versions := func() string {
		var all []string
		for _, o := range others {
			all = append(all, o+" "+c.field(o, "{.metadata.uid} {.metadata.generation}"))
		}
		return strings.Join(all, "\n")
	}
	before := versions()
	c.r.mustMgc(t, "addon", "update", c.id, "metrics-server", "--enabled=false")
	c.waitAddon(t, "metrics-server", "Disabled")
	for _, o := range []string{"deployment metrics-server", "apiservice v1beta1.metrics.k8s.io", "clusterrole system:metrics-server", "service metrics-server"} {
		if c.field(o, "{.metadata.uid}") != "" {
			t.Errorf("%s is still there", o)
		}
	}
	c.r.mustMgc(t, "addon", "update", c.id, "metrics-server", "--enabled=true")
	c.waitAddon(t, "metrics-server", "Ready")
	if after := versions(); after != before {
		t.Errorf("other addons were touched:\n%s\nbefore:\n%s", after, before)
	}
	if res := c.r.mgc("addon", "update", c.id, "kube-proxy", "--enabled=false"); res.code == 0 || !strings.Contains(res.stderr, "cannot be disabled") {
		t.Errorf("an essential addon: %s", res)
	}
}

func testAddonSettings(t *testing.T, c *cluster) {
	c.r.mustMgc(t, "addon", "update", c.id, "coredns", "--values", `{"replicas": 3, "forward": {"corp.example": "192.0.2.53"}}`)
	eventually(t, repairLimit, "the settings are in the cluster", func() error {
		if n := c.field("deployment coredns", "{.spec.replicas}"); n != "3" {
			return fmt.Errorf("coredns has %s replicas", n)
		}
		if corefile := c.field("configmap coredns", "{.data.Corefile}"); !strings.Contains(corefile, "corp.example:53 {") {
			return fmt.Errorf("Corefile:\n%s", corefile)
		}
		return nil
	})
	c.waitAddon(t, "coredns", "Ready")
	c.r.mustMgc(t, "addon", "update", c.id, "coredns", "--values", `{"replicas": null, "forward": null}`)
	eventually(t, repairLimit, "the defaults are back", func() error {
		if n := c.field("deployment coredns", "{.spec.replicas}"); n != "2" {
			return fmt.Errorf("coredns has %s replicas", n)
		}
		return nil
	})
}

func testMetrics(t *testing.T, c *cluster) {
	c.apply(t, busyManifest)
	t.Cleanup(func() { c.kubectl("delete", "namespace", addonsNamespace, "--wait=false") })
	eventually(t, metricsLimit, "kubectl top node", func() error {
		res := c.kubectl("top", "node", "--no-headers")
		if res.code != 0 || strings.Count(res.stdout, "\n") <= strings.Count(res.stdout, "<unknown>")/4 { // a node that is down has four of them
			return fmt.Errorf("%s", res)
		}
		return nil
	})
	eventually(t, metricsLimit, "kubectl top pod", func() error {
		res := c.kubectl("top", "pod", "-n", addonsNamespace, "--no-headers")
		if res.code != 0 || !strings.HasPrefix(res.stdout, "busy-") {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
	eventually(t, metricsLimit, "the autoscaler adds pods", func() error {
		out := c.kubectl("-n", addonsNamespace, "get", "hpa", "busy", "-o", "jsonpath={.status.desiredReplicas}").stdout
		if n, err := strconv.Atoi(out); err != nil || n < 2 {
			return fmt.Errorf("wanted replicas: %q\n%s", out, c.kubectl("-n", addonsNamespace, "describe", "hpa", "busy").stdout)
		}
		return nil
	})
	c.mustKubectl(t, "-n", addonsNamespace, "wait", "deployment/busy", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=2m")
}
