//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func demandClaim(name string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, namespace: demand}
spec: {storageClassName: %s, accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}`, name, storageClass)
}

// demandVolumePod has the claim and a node for itself among its kind, one with the label, in the zone unless that is "".
func demandVolumePod(name, claim, key, value, zone string) string {
	if zone != "" {
		zone = ", " + storageZone + ": " + zone
	}
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: demand, labels: {app: volume}}
spec:
  nodeSelector: {%s: %s%s}
  tolerations: [{key: demand, operator: Exists}]
  terminationGracePeriodSeconds: 1
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: volume}}}]
  containers:
  - {name: main, image: "docker.io/library/nginx:latest", imagePullPolicy: IfNotPresent, volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, persistentVolumeClaim: {claimName: %s}}]`, name, key, value, zone, claim)
}

// demandDeployment has Pods for nodes that come on demand. They spread if they can, and are Ready a while after they run.
func demandDeployment(name string, replicas int) string {
	return fmt.Sprintf(`
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s, namespace: demand}
spec:
  replicas: %[2]d
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      nodeSelector: {tier: demand}
      tolerations: [{key: demand, operator: Exists}]
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: %[1]s}}}
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: docker.io/library/nginx:latest
        imagePullPolicy: IfNotPresent
        resources: {requests: {cpu: 20m}}
        readinessProbe: {httpGet: {port: 80}, initialDelaySeconds: 2, periodSeconds: 1}`, name, replicas)
}

func demandBudget(app, rule string) string {
	return fmt.Sprintf(`
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: %[1]s, namespace: demand}
spec: {%[2]s, selector: {matchLabels: {app: %[1]s}}}`, app, rule)
}

// demandNodes are those of both pools, of which there have to be n.
func (d *demand) demandNodes(t *testing.T, n int) []corev1.Node {
	t.Helper()
	var list corev1.NodeList
	if err := d.list(&list, "nodes", "-l", poolLabel+" in (demand-a, demand-b)"); err != nil || len(list.Items) != n {
		t.Fatalf("nodes %s, want %d, %v", names(list.Items), n, err)
	}
	return list.Items
}

func (d *demand) waitDemandNodes(t *testing.T, n int) []corev1.Node {
	t.Helper()
	eventually(t, demandLimit, fmt.Sprintf("the pools have %d nodes", n), func() error {
		var list corev1.NodeList
		if err := d.list(&list, "nodes", "-l", poolLabel+" in (demand-a, demand-b)"); err != nil {
			return err
		}
		if len(list.Items) != n {
			return fmt.Errorf("%s", names(list.Items))
		}
		return nil
	})
	return d.demandNodes(t, n)
}

// waitDemandEvent waits for an event in any namespace whose message has the text.
func (d *demand) waitDemandEvent(t *testing.T, selector, text string) {
	t.Helper()
	eventually(t, time.Minute, fmt.Sprintf("an event %s says %q", selector, text), func() error {
		res := d.kubectl("get", "events", "-A", "--field-selector", selector, "-o", "jsonpath={.items[*].message}")
		if res.code != 0 || !strings.Contains(res.stdout, text) {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
}

func (d *demand) nodeOf(t *testing.T, app string) string {
	t.Helper()
	return strings.TrimSpace(d.mustKubectl(t, "-n", demandNamespace, "get", "pods", "-l", "app="+app, "-o", "jsonpath={.items[0].spec.nodeName}"))
}

// webOn counts the Pods of the Deployment on the node.
func (d *demand) webOn(t *testing.T, node string) int {
	t.Helper()
	return len(strings.Fields(d.mustKubectl(t, "-n", demandNamespace, "get", "pods", "-l", "app=web", "--field-selector", "spec.nodeName="+node, "-o", "name")))
}

func (d *demand) watchAvailable(t *testing.T) *watch {
	t.Helper()
	return d.watch(t, d.kubeconfig, "deployment", "web", "-n", demandNamespace, "-o", `jsonpath=web {.status.availableReplicas}{"\n"}`)
}

// watch is what `kubectl get --watch` prints: a name and a number in each line, "" for none.
type watch struct {
	mu   sync.Mutex
	text bytes.Buffer
	stop func()
}

func (w *watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (c *cluster) watch(t *testing.T, kubeconfig string, args ...string) *watch {
	t.Helper()
	w := &watch{}
	cmd := exec.CommandContext(t.Context(), filepath.Join(c.r.bin, "kubectl"), append([]string{"--kubeconfig", kubeconfig, "get", "--watch"}, args...)...)
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(w.stop)
	eventually(t, 30*time.Second, "the watch has begun", func() error {
		if len(w.lines()) == 0 {
			return fmt.Errorf("nothing was printed")
		}
		return nil
	})
	return w
}

func (w *watch) lines() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.FieldsFunc(w.text.String(), func(c rune) bool { return c == '\n' })
}

// of are the numbers of what has the suffix in its name, without repetitions.
func (w *watch) of(suffix string) []string {
	var out []string
	for _, line := range w.lines() {
		name, number, _ := strings.Cut(line, " ")
		if strings.HasSuffix(name, suffix) {
			out = append(out, number)
		}
	}
	return slices.Compact(out)
}

// least ends the watch, which has to have shown changes but no number below n.
func (w *watch) least(t *testing.T, n int) {
	t.Helper()
	w.stop()
	seen := w.of("web")
	if len(seen) < 2 {
		t.Errorf("no Pod was ever missing: %v", seen)
	}
	for _, number := range seen {
		if got, err := strconv.Atoi(number); err != nil || got < n {
			t.Errorf("%q Pods were available, want %d at least: %v", number, n, seen)
			return
		}
	}
}
