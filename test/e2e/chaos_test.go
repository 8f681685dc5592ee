//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

// disturbance is one kind of bad luck. It returns when it is over.
type disturbance struct {
	name string
	do   func(t *testing.T, r *region, clusters ...*cluster)
}

// testChaos disturbs creations, deletions, and what goes on in a cluster that lives. In each round one cluster is made while the one of the
// round before is deleted and a third one changes its volumes and a load balancer, so that every disturbance hits all; the end has to
// be as if nothing had happened.
func testChaos(t *testing.T, r *region) {
	fault := func(status int, delay, duration time.Duration) func(*testing.T, *region, ...*cluster) {
		return func(t *testing.T, r *region, clusters ...*cluster) {
			r.faultyCloud(t, status, delay, duration, clusters)
		}
	}
	w := startWorker(t, r)
	rounds := []disturbance{
		{"KillKubelet", killKubelet}, // meanwhile the one that lives is made
		{"KillCloud", killCloud},
		{"KillPods", killPods},
		{"CloudAnswers500", fault(500, 0, 10*time.Second)},
		{"CloudAnswers429", func(t *testing.T, r *region, clusters ...*cluster) {
			w.withSilentKubelet(t, func() { r.faultyCloud(t, 429, 0, time.Minute, clusters) })
		}},
		{"CloudIsSlow", fault(0, 30*time.Second, 20*time.Second)},
	}
	var old *cluster
	for i, d := range rounds {
		var next *cluster
		t.Run(d.name, func(t *testing.T) { next = chaosRound(t, fmt.Sprintf("chaos-%d", i), old, w, d) })
		if next == nil {
			t.Fatal("there is no cluster to go on with")
		}
		old = next
	}
	t.Run("End", func(t *testing.T) {
		tr := w.record(t)
		r.mustMgc(t, "cluster", "delete", old.id, "--no-confirm")
		r.mustMgc(t, "cluster", "delete", w.id, "--no-confirm", "--delete-volumes")
		old.waitGone(t)
		w.waitGone(t)
		r.expectNothing(t, tr)
	})
}

// chaosRound returns the new cluster once it runs and the old one is gone.
func chaosRound(t *testing.T, name string, old *cluster, w *worker, d disturbance) *cluster {
	r := w.r
	next := r.create(t, name)
	var tr traces
	if old != nil {
		tr = old.record(t)
	}
	// In the middle: the first machine exists, most of the rest does not.
	eventually(t, creationLimit, name+" has its first machine", func() error {
		found, err := r.inCloud(t.Context(), next.id)
		if err != nil {
			return err
		}
		for _, o := range found {
			if o.kind == "instance" {
				return nil
			}
		}
		return fmt.Errorf("it has %v", found)
	})
	if old != nil {
		r.mustMgc(t, "cluster", "delete", old.id, "--no-confirm")
		w.change(t)
	}
	d.do(t, r, next, w.cluster)
	if old == nil {
		w.begin(t)
	} else {
		w.expectConverged(t)
	}
	next.waitRunning(t)
	next.fetchKubeconfig(t, t.TempDir())
	next.waitNodes(t, 2, 3*time.Minute)
	next.expectExactly(t)
	if old != nil {
		old.waitGone(t)
		r.expectNothing(t, tr)
	}
	return next
}

// expectExactly wants what a cluster of two machines has, no more and no less.
func (c *cluster) expectExactly(t *testing.T) {
	t.Helper()
	found, err := c.r.inCloud(t.Context(), c.id)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, o := range found {
		count[o.kind]++
	}
	if count["instance"] != 2 || count["load balancer"] != 1 || count["security group"] != 2 || count["service account"] != 1 {
		t.Errorf("the cluster has %v", found)
	}
}

// killCloud ends the cloud's daemon without warning, and starts it again as a person would. Machines go on running.
func killCloud(t *testing.T, r *region, clusters ...*cluster) {
	machines := r.vmInits(r.machinesThatStay(t, clusters))
	pid := r.daemonPID(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "the cloud's process is gone", func() error {
		if alive(pid) {
			return fmt.Errorf("process %d lives", pid)
		}
		return nil
	})
	if len(machines) == 0 {
		t.Error("no machine was running, nothing is tested")
	}
	if res := r.up(); res.code != 0 {
		t.Fatalf("%s", res)
	}
	for pid, name := range machines {
		if !alive(pid) {
			t.Errorf("the machine of process %d (%s) ended with the cloud", pid, name)
		}
	}
}

// machinesThatStay are those of the clusters and the management cluster; what another cluster has is being deleted.
func (r *region) machinesThatStay(t *testing.T, clusters []*cluster) []string {
	ids := []string{r.managementVM(t)}
	for _, c := range clusters {
		found, err := r.inCloud(t.Context(), c.id)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range found {
			if o.kind == "instance" {
				ids = append(ids, o.id)
			}
		}
	}
	return ids
}

// atWork are our processes that work on volumes and load balancers; servers are the others.
var (
	atWork  = []string{`^\S*mgc-csi controller`, `^\S*mgc-csi node`, `^\S*mke ccm`}
	servers = []string{`^\S*mke gateway`, `^\S*mke api`, `^\S*mke operator`, `^\S*mke provider`, `^/manager-core`, `^/manager-bootstrap`,
		`^/manager-control-plane`, `postgres.* -D|^postgres`}
)

// killPods ends the clusters' HAProxys and the processes of every Deployment of ours: those at work together, the others two seconds
// apart.
func killPods(t *testing.T, r *region, clusters ...*cluster) {
	for _, pattern := range atWork {
		kill(t, pattern)
	}
	r.killBalancers(t, clusters)
	for _, pattern := range servers {
		kill(t, pattern)
		time.Sleep(2 * time.Second) // the disturbance's own rhythm, nothing is waited for
	}
}

// killBalancers ends the HAProxys of the clusters' load balancers.
func (r *region) killBalancers(t *testing.T, clusters []*cluster) {
	killed := 0
	for _, c := range clusters {
		for _, id := range c.balancersInCloud(t) {
			for pid, cmdline := range processes() {
				if strings.HasPrefix(cmdline, "haproxy ") && strings.Contains(cmdline, "/"+id+"/") && syscall.Kill(pid, syscall.SIGKILL) == nil {
					killed++
				}
			}
		}
	}
	t.Logf("HAProxy: killed %d", killed)
	if killed < len(clusters) {
		t.Errorf("%d clusters had %d HAProxys", len(clusters), killed)
	}
}

// killKubelet ends the management machine's kubelet; its systemd starts it again.
func killKubelet(t *testing.T, r *region, _ ...*cluster) {
	vm := r.managementVM(t)
	for pid, cmdline := range processes() {
		if !strings.Contains(cmdline, "/kubelet ") {
			continue
		}
		cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && bytes.Contains(cgroup, []byte(vm)) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("machine %s has no kubelet", vm)
}

// managementVM is the instance id of the management cluster's only node.
func (r *region) managementVM(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(r.data, "cloud", "vms", "*"))
	ofCustomers := map[string]bool{}
	instances, err := r.cloud.Compute.ListInstances(t.Context(), mgc.ListInstancesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range instances {
		ofCustomers[i.ID] = true
	}
	for _, path := range found {
		if id := filepath.Base(path); len(id) == len(unknownID) && !ofCustomers[id] {
			return id
		}
	}
	t.Fatal("there is no management machine")
	return ""
}

// faultyCloud lets the whole cloud answer with an error, or late, for a while. Meanwhile the operations must say what is waited for.
func (r *region) faultyCloud(t *testing.T, status int, delay, duration time.Duration, clusters []*cluster) {
	open := 0 // on a busy machine the cluster may be complete by now
	for _, c := range clusters {
		open += len(c.openOperations())
	}
	end := time.Now().Add(duration)
	r.injectFault(t, map[string]any{"status": status, "delay_ms": delay.Milliseconds(), "duration_s": int(duration.Seconds())})
	said := map[string]bool{}
	for time.Now().Before(end) {
		for _, c := range clusters {
			for _, message := range c.openOperations() {
				said[message] = true
			}
		}
		time.Sleep(time.Second)
	}
	if open > 0 && len(said) == 0 || said[""] {
		t.Errorf("%d operations did not say what they wait for: %v", open, said)
	}
	for message := range said {
		t.Logf("an operation said: %s", message)
		if leak := internals.FindString(message); leak != "" {
			t.Errorf("an operation shows internals: %s", message)
		}
	}
}

// openOperations returns what running operations say. The gateway itself asks the disturbed cloud who is calling, so it may fail.
func (c *cluster) openOperations() []string {
	var list struct {
		Results []struct{ State, Message string }
	}
	res := c.r.mgc("operation", "list", c.id, "-o", "json", "--raw")
	if res.code != 0 || json.Unmarshal([]byte(res.stdout), &list) != nil {
		return nil
	}
	var out []string
	for _, o := range list.Results {
		if o.State == "Running" || o.State == "Pending" {
			out = append(out, o.Message)
		}
	}
	return out
}
