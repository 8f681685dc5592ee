//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	workNamespace = "chaos-work"
	// workPools is in one zone, so that volumes can move.
	workPools = `[{"flavor": "BV2-4-40", "name": "nodepool01", "replicas": 2, "availability_zones": ["a"]}]`
	// workLimit is what Kubernetes' own pauses after a minute of failures add up to.
	workLimit = 3 * time.Minute
	firstPort = 8000
)

// workBegin is the same in all rounds.
const workBegin = `
apiVersion: v1
kind: Namespace
metadata: {name: chaos-work}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: chaos-work}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: nginx, image: "docker.io/library/nginx:latest", imagePullPolicy: IfNotPresent}
---`

const (
	workService = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: chaos-work}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{name: http, port: %d, targetPort: 80}]}
---`
	workClaim = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[1]s, namespace: chaos-work, labels: {round: "%[2]s"}}
spec: {storageClassName: mgc-csi-magalu-delete-sc, accessModes: [ReadWriteOnce], resources: {requests: {storage: %[3]dGi}}}
---`
	// workSet is one Pod with the claim of its name; it moves when its node is changed.
	workSet = `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: %[1]s, namespace: chaos-work, labels: {round: "%[2]s"}}
spec:
  serviceName: %[1]s
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 1
      nodeSelector: {kubernetes.io/hostname: %[3]s}
      containers:
      - {name: main, image: "docker.io/library/busybox:latest", imagePullPolicy: IfNotPresent, command: ["sleep", "100000"],
         volumeMounts: [{name: data, mountPath: /data}]}
      volumes: [{name: data, persistentVolumeClaim: {claimName: %[1]s}}]
---`
)

// worker is a cluster that lives through all rounds of bad luck. In each of them volumes are made, attached, moved, extended, detached and
// deleted in it, and a listener changes, while the bad luck strikes.
type worker struct {
	*cluster
	dir   string
	round int
	nodes []corev1.Node // as they have to stay
	pool  []string      // names of those where Pods go
	ip    string        // of the Service
}

// startWorker returns at once, unlike begin.
func startWorker(t *testing.T, r *region) *worker {
	return &worker{cluster: r.createWith(t, "chaos-work", workPools), dir: t.TempDir()}
}

// begin waits for the cluster and makes what is changed later.
func (w *worker) begin(t *testing.T) {
	w.waitRunning(t)
	w.fetchKubeconfig(t, w.dir)
	w.nodes = w.waitNodes(t, 3, 2*time.Minute)
	for _, n := range w.nodes {
		if !isControlPlane(n) {
			w.pool = append(w.pool, n.Name)
		}
	}
	w.apply(t, workBegin+w.pods()+w.growth())
	w.waitPods(t)
	for _, pod := range []string{"moved-0", "grown-0"} {
		w.mustKubectl(t, "-n", workNamespace, "exec", pod, "--", "sh", "-c", "hostname > /data/file && sync")
	}
	eventually(t, workLimit, "the Service has an address", func() error {
		res := w.kubectl("-n", workNamespace, "get", "service", "web", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
		if w.ip = res.stdout; net.ParseIP(w.ip) == nil {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
	w.expectConverged(t)
}

// pods of a round are one that moves, one that stays, and two that live for this round only.
func (w *worker) pods() string {
	out := fmt.Sprintf(workClaim, "moved", "all", 10) + fmt.Sprintf(workSet, "moved", "all", w.movedTo()) + fmt.Sprintf(workSet, "grown", "all", w.pool[0])
	for i, name := range w.fresh() {
		round := fmt.Sprint(w.round)
		out += fmt.Sprintf(workClaim, name, round, 10) + fmt.Sprintf(workSet, name, round, w.pool[i])
	}
	return out
}

// growth of a round is a larger volume and another port of the load balancer.
func (w *worker) growth() string {
	return fmt.Sprintf(workClaim, "grown", "all", w.grownTo()) + fmt.Sprintf(workService, w.port())
}

func (w *worker) movedTo() string { return w.pool[w.round%len(w.pool)] }
func (w *worker) grownTo() int    { return 10 + w.round }
func (w *worker) port() int       { return firstPort + w.round }
func (w *worker) fresh() []string {
	return []string{fmt.Sprintf("fresh-%d-a", w.round), fmt.Sprintf("fresh-%d-b", w.round)}
}

// change returns in the middle of it: the first new volume is in the cloud, others come, go or move, and what is quick was ordered this
// moment.
func (w *worker) change(t *testing.T) {
	t.Helper()
	known := w.volumesInCloud(t)
	last := fmt.Sprint(w.round)
	w.round++
	w.apply(t, w.pods())
	w.mustKubectl(t, "-n", workNamespace, "delete", "statefulset,persistentvolumeclaim", "-l", "round="+last, "--wait=false")
	eventually(t, storageLimit, "the first new volume is in the cloud", func() error {
		for id := range w.volumesInCloud(t) {
			if !known[id] {
				return nil
			}
		}
		return fmt.Errorf("there are %d, all of them known", len(known))
	})
	w.apply(t, w.growth())
}

// expectConverged wants everything as if there had been no bad luck.
func (w *worker) expectConverged(t *testing.T) {
	t.Helper()
	w.waitPods(t)
	for _, pod := range []string{"moved-0", "grown-0"} {
		if got := w.mustKubectl(t, "-n", workNamespace, "exec", pod, "--", "cat", "/data/file"); got != pod+"\n" {
			t.Errorf("%s has lost its data, it finds %q", pod, got)
		}
	}
	w.mustKubectl(t, "-n", workNamespace, "annotate", "--overwrite", "pod", "grown-0", fmt.Sprintf("e2e=look-now-%d", w.round))
	w.mustKubectl(t, "-n", workNamespace, "wait", "pvc/grown", fmt.Sprintf("--for=jsonpath={.status.capacity.storage}=%dGi", w.grownTo()), "--timeout="+workLimit.String())
	eventually(t, workLimit, "the new port answers, the old one does not", func() error {
		if err := getHTTP(w.ip, w.port()); err != nil {
			return err
		}
		if getHTTP(w.ip, w.port()-1) == nil {
			return fmt.Errorf("port %d answers", w.port()-1)
		}
		return nil
	})
	w.expectAttached(t, workNamespace)
	w.expectNoOrphan(t)
	nodes, err := w.cluster.nodes()
	if err != nil {
		t.Fatal(err)
	}
	if identities(nodes) != identities(w.nodes) {
		t.Errorf("nodes were %s, now they are %s", names(w.nodes), names(nodes))
	}
}

// waitPods waits until the Pods of the round run, and no other.
func (w *worker) waitPods(t *testing.T) {
	t.Helper()
	want := []string{"grown-0", "moved-0"}
	for _, name := range w.fresh() {
		want = append(want, name+"-0")
	}
	slices.Sort(want)
	eventually(t, workLimit, "the Pods of the round run", func() error {
		var pods corev1.PodList
		if err := w.list(&pods, "pods", "-n", workNamespace, "-l", "app!=web"); err != nil {
			return err
		}
		var got []string
		for _, p := range pods.Items {
			switch {
			case !podReady(p) || p.DeletionTimestamp != nil:
				return fmt.Errorf("%s is not Ready; events:\n%s", p.Name, lastLines(w.kubectl("-n", workNamespace, "get", "events").stdout, 10))
			case p.Name == "moved-0" && p.Spec.NodeName != w.movedTo():
				return fmt.Errorf("%s is still on %s", p.Name, p.Spec.NodeName)
			}
			got = append(got, p.Name)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("there are %v, not %v", got, want)
		}
		return nil
	})
}

// withSilentKubelet freezes a kubelet for the first half minute in which the cloud cannot tell whether its VM runs. Its Node has to stay, as
// expectConverged finds, and to say so.
func (w *worker) withSilentKubelet(t *testing.T, disturb func()) {
	node := w.nodes[slices.IndexFunc(w.nodes, func(n corev1.Node) bool { return n.Name == w.pool[1] })]
	kubelet := w.r.kubeletOf(t, instanceOf(node))
	if err := syscall.Kill(kubelet, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	thaw := func() { _ = syscall.Kill(kubelet, syscall.SIGCONT) }
	defer time.AfterFunc(30*time.Second, thaw).Stop()
	defer thaw()
	disturb()
	eventually(t, 10*time.Second, "an event says that the cloud could not tell", func() error {
		res := w.kubectl("get", "events", "--field-selector", "reason=CloudUnavailable,involvedObject.name="+node.Name, "-o", "name")
		if res.code != 0 || res.stdout == "" {
			return fmt.Errorf("%s", res)
		}
		return nil
	})
}

// expectNoOrphan wants one volume in the cloud for each in Kubernetes, and one load balancer for the API and for the Service each.
func (w *worker) expectNoOrphan(t *testing.T) {
	t.Helper()
	eventually(t, storageLimit, "the cloud has what the cluster knows, and no more", func() error {
		var pvs corev1.PersistentVolumeList
		if err := w.list(&pvs, "persistentvolumes"); err != nil {
			return err
		}
		known := map[string]bool{}
		for _, pv := range pvs.Items {
			known[pv.Spec.CSI.VolumeHandle] = true
		}
		if got := w.volumesInCloud(t); !maps.Equal(got, known) || len(got) != 2+len(w.fresh()) {
			return fmt.Errorf("volumes in the cloud: %v, in the cluster: %v", got, known)
		}
		if balancers := w.balancersInCloud(t); len(balancers) != 2 {
			return fmt.Errorf("load balancers: %v", balancers)
		}
		return nil
	})
}

// volumesInCloud are the cluster's, snapshots too if there were any.
func (w *worker) volumesInCloud(t *testing.T) map[string]bool {
	t.Helper()
	found, err := w.r.storageOf(t.Context(), w.id)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, o := range found {
		ids[o.id] = true
	}
	return ids
}

// balancersInCloud are the ids of the cluster's load balancers.
func (c *cluster) balancersInCloud(t *testing.T) []string {
	t.Helper()
	all, err := c.r.cloud.LoadBalancer.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, lb := range all {
		if strings.Contains(lb.Name+lb.Description, c.id) {
			ids = append(ids, lb.ID)
		}
	}
	return ids
}
