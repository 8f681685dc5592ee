//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

const lbManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: e2e-lb}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: e2e-lb}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: nginx, image: "docker.io/library/nginx:latest", imagePullPolicy: IfNotPresent}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: e2e-lb}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: client, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: ["sleep", "100000"]}
`

// lbService is a Service of type LoadBalancer for the Deployment of lbManifest.
func lbService(name, annotations, ports string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: e2e-lb, annotations: {%s}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [%s]}
`, name, annotations, ports)
}

const (
	port80   = `{name: http, port: 80}`
	port8080 = `{name: more, port: 8080, targetPort: 80}`
	lbLimit  = 40 * time.Second // includes what nodes and kube-proxy need on a busy machine
)

// testLoadBalancer calls Services of type LoadBalancer from the host, which is outside, and from a pod, which is inside the VPC.
func testLoadBalancer(t *testing.T, c *cluster) {
	c.apply(t, lbManifest)
	t.Cleanup(func() {
		if res := c.kubectl("delete", "namespace", "e2e-lb", "--timeout=2m"); res.code != 0 {
			t.Errorf("%s", res)
		}
	})
	c.mustKubectl(t, "-n", "e2e-lb", "rollout", "status", "deployment/web", "--timeout=2m")
	c.mustKubectl(t, "-n", "e2e-lb", "wait", "pod/client", "--for=condition=Ready", "--timeout=2m")
	t.Run("services", func(t *testing.T) { // returns when all of them have ended
		for name, test := range map[string]func(*testing.T, *cluster){
			"external": lbExternal, "source ranges": lbSourceRanges, "internal": lbInternal, "retained address": lbRetained, "refused": lbRefused,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t, c)
			})
		}
	})
}

func lbExternal(t *testing.T, c *cluster) {
	begun := time.Now()
	c.apply(t, lbService("public", "", port80+","+port8080))
	ip := c.lbAddress(t, "public")
	answersHTTP(t, ip, 80)
	t.Logf("from the Service's creation to the first answer: %s", time.Since(begun).Round(10*time.Millisecond))
	answersHTTP(t, ip, 8080)

	c.patchService(t, "public", `[{"op": "replace", "path": "/spec/ports/1/port", "value": 8081}]`)
	answersHTTP(t, ip, 8081)
	refusesHTTP(t, ip, 8080)
	answersHTTP(t, ip, 80)

	c.patchService(t, "public", `[{"op": "replace", "path": "/spec/externalTrafficPolicy", "value": "Local"}]`)
	eventually(t, lbLimit, "the health check asks for local pods", func() error {
		lb, err := c.balancer("public")
		if err == nil && (len(lb.HealthChecks) != 2 || lb.HealthChecks[0].Protocol != "http" || lb.HealthChecks[1].Protocol != "http") {
			err = fmt.Errorf("health checks %+v", lb.HealthChecks)
		}
		return err
	})
	for range 5 { // nodes without pods of the Service get no connections
		time.Sleep(time.Second)
		answersHTTP(t, ip, 80)
	}
	c.mustKubectl(t, "-n", "e2e-lb", "delete", "service", "public", "--timeout=1m")
	c.lbGone(t, "public", ip, false)
}

func lbSourceRanges(t *testing.T, c *cluster) {
	c.apply(t, lbService("ranges", "", port80))
	ip := c.lbAddress(t, "ranges")
	answersHTTP(t, ip, 80)
	c.patchService(t, "ranges", `[{"op": "add", "path": "/spec/loadBalancerSourceRanges", "value": ["203.0.113.0/24"]}]`)
	refusesHTTP(t, ip, 80)
	c.reachesFromPod(t, ip) // the cluster itself always gets through
	c.patchService(t, "ranges", `[{"op": "replace", "path": "/spec/loadBalancerSourceRanges", "value": ["203.0.113.0/24", "198.18.0.0/16"]}]`)
	answersHTTP(t, ip, 80)
}

func lbInternal(t *testing.T, c *cluster) {
	c.apply(t, lbService("private", `magalu.cloud/load-balancer-visibility: internal`, port80))
	ip := c.lbAddress(t, "private")
	c.reachesFromPod(t, ip)
	if err := getHTTP(ip, 80); err == nil {
		t.Errorf("%s answers outside of the VPC", ip)
	}
}

func lbRetained(t *testing.T, c *cluster) {
	c.apply(t, lbService("kept", `magalu.cloud/public-ip-reclaim-policy: retain`, port80))
	ip := c.lbAddress(t, "kept")
	c.mustKubectl(t, "-n", "e2e-lb", "delete", "service", "kept", "--timeout=1m")
	kept := c.lbGone(t, "kept", ip, true)

	again := strings.Replace(lbService("again", `magalu.cloud/public-ip-reclaim-policy: delete`, port80), "type: LoadBalancer", "type: LoadBalancer, loadBalancerIP: "+ip, 1)
	c.apply(t, again)
	if got := c.lbAddress(t, "again"); got != ip {
		t.Errorf("the Service got %s instead of its address %s", got, ip)
	}
	answersHTTP(t, ip, 80)
	c.mustKubectl(t, "-n", "e2e-lb", "delete", "service", "again", "--timeout=1m")
	c.lbGone(t, "again", ip, false)
	if err := c.r.cloud.Network.DeletePublicIP(t.Context(), kept.ID); err != nil && !mgc.IsNotFound(err) {
		t.Error(err)
	}
}

func lbRefused(t *testing.T, c *cluster) {
	for name, tt := range map[string]struct{ annotations, ports, event string }{
		"bad-value": {`magalu.cloud/load-balancer-visibility: public`, port80, `annotation magalu.cloud/load-balancer-visibility: "public" is not one of: external, internal`},
		"udp":       {"", `{name: dns, port: 53, protocol: UDP}`, "carry TCP only"},
	} {
		c.apply(t, lbService(name, tt.annotations, tt.ports))
		eventually(t, lbLimit, name+" has an event that says why", func() error {
			events := c.kubectl("-n", "e2e-lb", "get", "events", "--field-selector", "type=Warning,involvedObject.name="+name, "-o", "jsonpath={.items[*].message}")
			if !strings.Contains(events.stdout, tt.event) {
				return fmt.Errorf("%s", events)
			}
			return nil
		})
		if lb, err := c.balancer(name); err == nil {
			t.Errorf("%s: there is a load balancer %s", name, lb.ID)
		}
	}
}

// lbAddress waits for the address in the Service's status.
func (c *cluster) lbAddress(t *testing.T, service string) (ip string) {
	t.Helper()
	eventually(t, lbLimit, service+" has an address", func() error {
		svc, err := c.service(service)
		if err == nil && len(svc.Status.LoadBalancer.Ingress) == 0 {
			err = fmt.Errorf("no address; events:\n%s", c.kubectl("-n", "e2e-lb", "get", "events").stdout)
		}
		if err == nil {
			ip = svc.Status.LoadBalancer.Ingress[0].IP
		}
		return err
	})
	return ip
}

func (c *cluster) service(name string) (*corev1.Service, error) {
	var svc corev1.Service
	res := c.kubectl("-n", "e2e-lb", "get", "service", name, "-o", "json")
	if res.code != 0 {
		return nil, fmt.Errorf("%s", res)
	}
	return &svc, json.Unmarshal([]byte(res.stdout), &svc)
}

func (c *cluster) patchService(t *testing.T, name, patch string) {
	t.Helper()
	c.mustKubectl(t, "-n", "e2e-lb", "patch", "service", name, "--type=json", "-p", patch)
}

// balancer finds the Service's load balancer in the cloud.
func (c *cluster) balancer(service string) (*mgc.LoadBalancer, error) {
	all, err := c.r.cloud.LoadBalancer.List(context.Background())
	if err != nil {
		return nil, err
	}
	for _, lb := range all {
		if strings.Contains(lb.Description, c.id) && strings.HasSuffix(lb.Description, " service=e2e-lb/"+service) {
			return &lb, nil
		}
	}
	return nil, fmt.Errorf("the cloud has no load balancer of the Service %s", service)
}

// lbGone wants the load balancer of a deleted Service gone, and its public IP too unless it is kept.
func (c *cluster) lbGone(t *testing.T, service, ip string, kept bool) (found mgc.PublicIP) {
	t.Helper()
	if lb, err := c.balancer(service); err == nil {
		t.Errorf("the Service is gone, its load balancer %s is %s", lb.ID, lb.Status)
	}
	all, err := c.r.cloud.Network.ListPublicIPs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, known := range all {
		if known.PublicIP == ip {
			found = known
		}
	}
	if (found.ID != "") != kept {
		t.Errorf("public IP %s still there: %v, want %v", ip, found.ID != "", kept)
	}
	return found
}

func (c *cluster) reachesFromPod(t *testing.T, ip string) {
	t.Helper()
	eventually(t, lbLimit, ip+" answers a pod", func() error {
		if res := c.kubectl("-n", "e2e-lb", "exec", "client", "--", "timeout", "5", "wget", "-q", "-O", "/dev/null", "http://"+ip+"/"); res.code != 0 {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
}

// getHTTP makes a request on a connection of its own.
func getHTTP(ip string, port int) error {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(fmt.Sprintf("http://%s:%d/", ip, port))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK { // a proxy of the host's network may answer for addresses that are not here
		return fmt.Errorf("%s", res.Status)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

func answersHTTP(t *testing.T, ip string, port int) {
	t.Helper()
	eventually(t, lbLimit, fmt.Sprintf("%s:%d answers", ip, port), func() error { return getHTTP(ip, port) })
}

func refusesHTTP(t *testing.T, ip string, port int) {
	t.Helper()
	eventually(t, lbLimit, fmt.Sprintf("%s:%d does not answer", ip, port), func() error {
		if getHTTP(ip, port) == nil {
			return fmt.Errorf("it answers")
		}
		return nil
	})
}
