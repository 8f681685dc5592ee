package autoscaler

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
	"magalu.cloud/mke/internal/autoscaler/plan"
)

const step = 10 * time.Second

func (e *events) has(t *testing.T, parts ...string) {
	t.Helper()
	if e.count(parts...) == 0 {
		t.Errorf("no event with %q among:\n%s", parts, strings.Join(e.list, "\n"))
	}
}

func (e *events) count(parts ...string) int {
	n := 0
	for _, line := range e.list {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}

func (w *world) expect(pool string, target, waiting int) {
	w.t.Helper()
	if got := w.target(pool); got != target {
		w.t.Errorf("pool %s has %d nodes, want %d", pool, got, target)
	}
	if got := w.waiting(); got != waiting {
		w.t.Errorf("%d Pods wait, want %d", got, waiting)
	}
}

func (w *world) poolStatus(pool string) PoolStatus {
	w.t.Helper()
	var s PoolStatus
	if err := json.Unmarshal([]byte(w.deployment(pool).Annotations[nodegroup.StatusAnnotation]), &s); err != nil {
		w.t.Fatalf("status of %s: %v", pool, err)
	}
	return s
}

func (w *world) document() (doc statusDocument) {
	w.t.Helper()
	cm, err := w.kube.Tracker().Get(corev1.SchemeGroupVersion.WithResource("configmaps"), "kube-system", "cluster-autoscaler-status")
	w.must(err)
	w.must(yaml.UnmarshalStrict([]byte(cm.(*corev1.ConfigMap).Data["status"]), &doc))
	return doc
}

func (w *world) clean() {
	w.t.Helper()
	for _, n := range w.nodes() {
		if hasTaint(n, toBeDeletedTaint) {
			w.t.Errorf("node %s is left with the taint of removal", n.Name)
		}
	}
	for _, m := range w.machineList() {
		if m.Annotations[clusterv1.DeleteMachineAnnotation] != "" {
			w.t.Errorf("machine %s is left marked", m.Name)
		}
	}
	if len(w.killed) > 0 {
		w.t.Errorf("Pods ran when their nodes went: %v", w.killed)
	}
}

// TestSlowScheduler has a scheduler that needs minutes for all Pods: once it has refused one, there are nodes for those that wait behind it.
func TestSlowScheduler(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 100))
	w.tries = 1
	w.want["web"] = workload{40, "1500m"} // 2 fit on a node
	w.turn()
	w.expect("a", 1, 40) // for the one that is refused; a scheduler may need a moment for the others
	w.clock.SetTime(w.clock.Now().Add(schedulerTries))
	w.turn()
	w.expect("a", 20, 40)
	w.events.has(t, "web-", "TriggeredScaleUp", "a 1->20 (max: 100)")
	w.tries = 0
	w.run(2*time.Minute, step)
	w.expect("a", 20, 0)
}

// TestNoScheduler has Pods that nobody ever tries to place: their scheduler is not there.
func TestNoScheduler(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 100))
	w.want["web"] = workload{4, "1500m"}
	w.foreign = "web"
	w.want["app"] = workload{1, "9000m"} // refused by the scheduler that is there
	w.run(time.Minute, step)
	w.expect("a", 0, 5)
}

func TestFromZeroAndBack(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10))
	w.want["web"] = workload{6, "1500m"} // 2 fit on a node
	w.run(time.Minute, step)
	w.expect("a", 3, 0)
	w.events.has(t, "web-", "TriggeredScaleUp", "a 0->3 (max: 10)")
	w.events.has(t, "cluster-autoscaler-status", "ScaledUpGroup", "a size set to 3 instead of 0")

	delete(w.want, "web")
	w.run(9*time.Minute, step)
	w.expect("a", 3, 0)
	if s := w.document(); s.NodeGroups[0].ScaleDown.Status != "CandidatesPresent" || s.NodeGroups[0].ScaleDown.Candidates != 3 {
		t.Errorf("status: %+v", s.NodeGroups[0].ScaleDown)
	}
	w.run(3*time.Minute, step)
	w.expect("a", 0, 0)
	w.events.has(t, "a-", "ScaleDown", "empty")
	w.clean()
	if s := w.poolStatus("a"); s.State != stateIdle {
		t.Errorf("status %+v", s)
	}
}

func TestNothingIsWrittenWhenNothingChanges(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10), pool("b", 1, 10))
	w.want["web"] = workload{4, "3"}
	w.run(30*time.Minute, step)
	before := w.writes
	w.run(time.Hour, 30*time.Second)
	if w.writes != before {
		t.Errorf("%d writes in an hour without change", w.writes-before)
	}
}

func TestSizesAreKeptWithinBounds(t *testing.T) {
	w := newWorld(t, nil, pool("a", 1, 3))
	w.want["web"] = workload{5, "3"}
	w.run(5*time.Minute, step)
	w.expect("a", 3, 2)
	if n := w.events.count("NotTriggerScaleUp", "max node group size reached"); n != 2 {
		t.Errorf("%d events for 2 Pods that no pool helps", n)
	}
	if s := w.poolStatus("a"); s.State != stateBlocked || !strings.Contains(s.Message, "largest size of 3") {
		t.Errorf("status %+v", s)
	}
	delete(w.want, "web")
	w.run(time.Hour, 30*time.Second)
	w.expect("a", 1, 0)
	w.clean()
}

func TestUnderusedNodeIsDrained(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10))
	w.want["big"] = workload{2, "3"}
	w.run(2*time.Minute, step)
	w.expect("a", 2, 0)
	delete(w.want, "big")
	w.want["small"] = workload{2, "1"}
	w.run(10*time.Second, step)
	w.spread("small")
	w.run(30*time.Minute, step)
	w.expect("a", 1, 0)
	w.events.has(t, "a-", "ScaleDown", "underutilized")
	w.clean()
}

// spread puts the Pods of a workload on different nodes.
func (w *world) spread(app string) {
	nodes := w.nodes()
	i := 0
	for _, p := range w.pods() {
		if p.Labels["app"] == app {
			p.Spec.NodeName = nodes[i%len(nodes)].Name
			w.must(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
			i++
		}
	}
}

func TestBudgetThatNeverAllowsKeepsItsNodeOnly(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10))
	w.want["big"] = workload{3, "3"}
	w.run(2*time.Minute, step)
	delete(w.want, "big")
	w.want["guarded"], w.want["free"] = workload{1, "1"}, workload{2, "100m"}
	w.budget["guarded"] = 0
	w.run(10*time.Second, step)
	place := map[string]string{}
	for i, p := range w.pods() { // each on a node of its own: free, free, guarded
		p.Spec.NodeName = w.nodes()[2-i].Name
		place[p.Labels["app"]] = p.Spec.NodeName
		w.must(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
	}
	w.run(3*time.Hour, 30*time.Second)
	w.expect("a", 1, 0)
	if w.nodes()[0].Name != place["guarded"] {
		t.Errorf("node %s stayed, want that of the guarded Pod, %s", w.nodes()[0].Name, place["guarded"])
	}
	w.events.has(t, place["guarded"], "ScaleDownFailed", "The disruption budget guarded needs")
	if hasTaint(w.nodes()[0], toBeDeletedTaint) && w.a.down.drains[w.nodes()[0].Name] == nil {
		t.Error("the node that stays is left tainted")
	}
	if len(w.killed) > 0 {
		t.Errorf("Pods ran when their nodes went: %v", w.killed)
	}
}

func TestNodeWhosePodsHaveGoneIsNotKeptForItsPause(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10))
	w.want["big"] = workload{2, "3"}
	w.run(2*time.Minute, step)
	w.want["big"] = workload{1, "3"}
	w.want["guarded"], w.budget["guarded"] = workload{1, "100m"}, 0
	w.run(10*time.Second, step)
	var busy, guarded string
	for _, p := range w.pods() {
		if p.Labels["app"] == "big" {
			busy = p.Spec.NodeName
		}
	}
	for _, p := range w.pods() {
		if p.Labels["app"] == "guarded" {
			guarded = w.nodes()[0].Name
			if guarded == busy {
				guarded = w.nodes()[1].Name
			}
			p.Spec.NodeName = guarded
			w.must(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
		}
	}
	w.run(2*time.Hour, 30*time.Second)
	w.expect("a", 2, 0)
	w.events.has(t, guarded, "ScaleDownFailed", "The disruption budget guarded needs")
	delete(w.want, "guarded")
	w.run(w.a.opts.UnneededTime+2*time.Minute, step) // its pause is an hour by now
	w.expect("a", 1, 0)
}

func TestNewPodDelay(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.NewPodDelay = time.Minute }, pool("a", 0, 20))
	w.want["web"] = workload{1, "3"}
	w.run(50*time.Second, step)
	w.expect("a", 0, 1)
	w.run(20*time.Second, step)
	if w.target("a") != 1 {
		t.Error("the Pod is old enough and got no node")
	}
}

// planForReal lets the real planner decide from now on.
func (w *world) planForReal() {
	w.t.Helper()
	factory := informers.NewSharedInformerFactory(w.kube, 0)
	p, err := plan.New(w.t.Context(), factory, plan.Options{Clock: w.clock})
	w.must(err)
	factory.Start(w.t.Context().Done())
	factory.WaitForCacheSync(w.t.Context().Done())
	w.plan = p
	w.restart()
}

// The real planner instead of the tests' own, through growth, a drain that a budget slows down, and the way back to zero.
func TestWithTheRealPlanner(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10), pool("b", 0, 10, nodegroup.TaintsAnnotation, "dedicated=db:NoSchedule"))
	w.planForReal()
	w.want["web"] = workload{6, "1500m"}
	w.run(2*time.Minute, step)
	w.expect("a", 3, 0)
	w.expect("b", 0, 0)
	delete(w.want, "web")
	w.want["small"] = workload{3, "500m"}
	w.budget["small"] = 1
	w.run(step, step)
	w.spread("small")
	w.run(40*time.Minute, 30*time.Second)
	w.expect("a", 1, 0)
	w.events.has(t, "a-", "ScaleDown", "underutilized")
	delete(w.want, "small")
	w.run(20*time.Minute, 30*time.Second)
	w.expect("a", 0, 0)
	w.clean()
}

// A load that swings for half a day must not make the pool swing with each of its waves.
func TestNoThrash(t *testing.T) {
	w := newWorld(t, nil, pool("a", 1, 20))
	turns, last, direction := 0, 1, 0
	for minute := range 12 * 60 {
		load := 4
		if minute%8 < 4 { // every 8 minutes
			load = 10
		}
		if minute > 6*60 {
			load = 2
		}
		w.want["web"] = workload{load, "1900m"}
		w.run(time.Minute, time.Minute)
		if now := w.target("a"); now != last {
			d := 1
			if now < last {
				d = -1
			}
			if d != direction {
				turns++
			}
			direction, last = d, now
		}
	}
	if turns > 3 {
		t.Errorf("the pool changed its direction %d times in 12 hours", turns)
	}
	w.expect("a", 1, 0)
	w.clean()
}

func TestRemovalEatenByAnotherMachine(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10))
	w.want["web"] = workload{2, "3"}
	w.run(time.Minute, step)
	victim := w.machineList()[0]
	provider := w.a.groups.(*nodegroup.Provider)
	w.must(provider.Remove(context.Background(), "a", 0, []string{victim.Name}))
	// Before Cluster API acts, another machine goes and the target fits again.
	other := w.machineList()[1]
	w.must(w.mgmt.Delete(context.Background(), other))
	w.must(w.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("nodes"), "", other.Name))
	w.want = map[string]workload{}
	w.runPods()
	for range 12 {
		w.clock.SetTime(w.clock.Now().Add(step))
		w.look()
	}
	m := &clusterv1.Machine{}
	w.must(w.mgmt.Get(context.Background(), client.ObjectKeyFromObject(victim), m))
	if m.Annotations[clusterv1.DeleteMachineAnnotation] != "" || w.target("a") != 1 {
		t.Errorf("machine %v, target %d", m.Annotations, w.target("a"))
	}
}

// Killed at any call, another process takes over: no node is lost or made twice, no Pod is cut off, nothing stays marked.
func TestDeathAtEveryCall(t *testing.T) {
	if calls := death(t, 0); calls < 30 {
		t.Fatalf("%d calls: the scenario does not do what it should", calls)
	} else {
		for at := 1; at <= calls; at++ {
			death(t, at)
		}
	}
}

func death(t *testing.T, at int) int {
	t.Helper()
	w := newWorld(t, func(o *Options) { o.UnneededTime, o.DelayAfterAdd = 20*time.Second, 20*time.Second }, pool("a", 0, 10))
	w.dieAt = at
	live := func(d time.Duration) {
		for range int(d / (20 * time.Second)) {
			w.run(20*time.Second, 20*time.Second)
			if w.dieAt > 0 && w.calls >= w.dieAt {
				w.restart()
			}
		}
	}
	w.want["big"] = workload{4, "3"}
	live(100 * time.Second)
	most := w.target("a")
	delete(w.want, "big")
	w.want["small"] = workload{2, "1"}
	w.runPods()
	w.schedule()
	w.spread("small")
	live(3 * time.Minute)
	if most != 4 || w.target("a") != 1 || w.waiting() != 0 || len(w.machineList()) != 1 {
		t.Errorf("death at call %d: 4 nodes wanted and %d made, then 1 wanted and %d there, %d Pods wait", at, most, w.target("a"), w.waiting())
	}
	w.clean()
	if t.Failed() {
		t.Fatalf("death at call %d: %s", at, fmt.Sprint(w.events.list))
	}
	return w.calls
}
