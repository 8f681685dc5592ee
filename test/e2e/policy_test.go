//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const policyNamespace = "e2e-policy"

// policyPod serves on two ports and can call others. Pods of it spread over the nodes.
const policyPod = `
---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: e2e-policy, labels: {role: %[1]s, spread: "yes"}}
spec:
  terminationGracePeriodSeconds: 0
  topologySpreadConstraints:
  - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {spread: "yes"}}}
  containers:
  - name: main
    image: docker.io/library/busybox:latest
    imagePullPolicy: IfNotPresent
    command: ["sh", "-c", "echo hello > /tmp/index.html; httpd -p 8080 -h /tmp; exec httpd -f -p 9090 -h /tmp"]
`

const denyAll = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny-all, namespace: e2e-policy}
spec:
  podSelector: {}
  policyTypes: [Ingress]
`

const allowFriend = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow-friend, namespace: e2e-policy}
spec:
  podSelector: {matchLabels: {role: server}}
  policyTypes: [Ingress]
  ingress:
  - from: [{podSelector: {matchLabels: {role: friend}}}]
    ports: [{port: 8080}]
`

// testPolicy closes a namespace and opens one door in it.
func testPolicy(t *testing.T, c *cluster) {
	manifest := "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + policyNamespace + "}\n"
	for _, name := range []string{"server", "friend", "stranger"} {
		manifest += fmt.Sprintf(policyPod, name)
	}
	c.apply(t, manifest)
	t.Cleanup(func() { c.kubectl("delete", "namespace", policyNamespace, "--wait=false") })
	c.mustKubectl(t, "-n", policyNamespace, "wait", "pod", "--all", "--for=condition=Ready", "--timeout=2m")
	var list corev1.PodList
	if err := json.Unmarshal([]byte(c.mustKubectl(t, "-n", policyNamespace, "get", "pods", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	nodes, server := map[string]bool{}, ""
	for _, p := range list.Items {
		nodes[p.Spec.NodeName] = true
		if p.Name == "server" {
			server = p.Status.PodIP
		}
	}
	if len(nodes) < 2 {
		t.Fatalf("all pods are on one node, so nothing crosses nodes")
	}
	reach := func(from string, port int, want bool) {
		t.Helper()
		eventually(t, 30*time.Second, fmt.Sprintf("%s reaches port %d: %v", from, port, want), func() error {
			url := fmt.Sprintf("http://%s:%d/index.html", server, port)
			res := c.kubectl("-n", policyNamespace, "exec", from, "--", "timeout", "2", "wget", "-q", "-O", "-", url)
			if got := res.code == 0; got != want {
				return fmt.Errorf("%s", res)
			}
			return nil
		})
	}
	reach("friend", 8080, true)
	reach("stranger", 8080, true)
	c.apply(t, denyAll)
	reach("friend", 8080, false)
	reach("stranger", 8080, false)
	c.apply(t, allowFriend)
	reach("friend", 8080, true)
	reach("friend", 9090, false)
	reach("stranger", 8080, false)
	c.mustKubectl(t, "-n", policyNamespace, "delete", "networkpolicy", "--all")
	reach("stranger", 9090, true)
}
