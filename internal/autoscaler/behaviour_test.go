package autoscaler

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/utils/ptr"
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

func TestQuotaStopsAndGoesOnWhenRaised(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 20))
	w.quota = 7
	w.want["web"] = workload{12, "3"}
	w.run(3*time.Minute, step)
	w.expect("a", 7, 5)
	if got := len(w.machineList()); got != 7 {
		t.Errorf("%d machines, the cloud gives 7", got)
	}
	w.events.has(t, "web-", "NotTriggerScaleUp", "instance quota exceeded")
	if s := w.poolStatus("a"); s.State != stateBlocked || !strings.Contains(s.Message, "instance quota exceeded") {
		t.Errorf("status %+v", s)
	}
	if g := w.document().NodeGroups[0]; g.ScaleUp.Status != "Backoff" || g.ScaleUp.BackoffInfo.ErrorCode != codeRefused {
		t.Errorf("status %+v", g.ScaleUp)
	}
	made := w.machines
	w.run(2*time.Hour, 30*time.Second)
	if tries := w.machines - made; tries > 8 {
		t.Errorf("%d tries in two hours at quota", tries)
	}
	w.quota = 100
	w.run(35*time.Minute, 30*time.Second)
	w.expect("a", 12, 0)
	w.clean()
}

func TestOverloadedCloudIsWaitedFor(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 20))
	w.overload = true
	w.want["web"] = workload{3, "3"}
	w.run(2*time.Minute, step)
	w.expect("a", 3, 3)
	w.overload = false
	w.run(2*time.Minute, step)
	w.expect("a", 3, 0)
	if w.events.count("FailedToScaleUpGroup") > 0 || len(w.bootTimes) != 3 {
		t.Errorf("%d VMs for 3 Pods; events %v", len(w.bootTimes), w.events.list)
	}
}

func TestSmallestSizeIsNotGivenUpAtQuota(t *testing.T) {
	w := newWorld(t, nil, pool("a", 2, 5))
	w.quota = 1
	w.run(30*time.Minute, step)
	w.expect("a", 2, 0)
	if w.machines != 2 {
		t.Errorf("%d machines were made", w.machines)
	}
	w.quota = 5
	w.run(time.Minute, step)
	if n := len(w.nodes()); n != 2 {
		t.Errorf("%d nodes", n)
	}
}

func TestVMsThatNeverBootAreReplaced(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 100))
	w.boots = func(machine string) bool { return !strings.HasSuffix(machine, "3") && !strings.HasSuffix(machine, "7") } // 20 %
	w.want["web"] = workload{20, "3"}
	most := 0
	for range 12 {
		w.run(10*time.Minute, 30*time.Second)
		most = max(most, w.target("a"))
	}
	w.expect("a", 20, 0)
	if most > 20 {
		t.Errorf("the pool had %d nodes for 20 Pods", most)
	}
	w.clean()
}

func TestPoolThatNeverBootsIsTriedLessAndLess(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 100))
	w.boots = func(string) bool { return false }
	w.want["web"] = workload{10, "3"}
	w.run(8*time.Hour, time.Minute)
	if vms := len(w.machineList()); vms > 10 {
		t.Errorf("%d machines for 10 Pods", vms)
	}
	if made := len(w.bootTimes); made > 10+8*60/20 {
		t.Errorf("%d VMs in 8 hours", made)
	}
}

func TestOtherPoolServesWhenOneFails(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10), pool("b", 0, 10))
	w.boots = func(machine string) bool { return strings.HasPrefix(machine, "b") }
	w.want["web"] = workload{3, "3"}
	w.run(20*time.Minute, step)
	w.expect("b", 3, 0)
	w.expect("a", 0, 0)
}

func TestTaintOnEveryNewNodeDoesNotAddForEver(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 100))
	w.newNode = func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "somebody.example/gate", Effect: corev1.TaintEffectNoSchedule})
	}
	w.want["web"] = workload{4, "3"}
	most := 0
	for range 24 {
		w.run(10*time.Minute, 30*time.Second)
		most = max(most, len(w.machineList()))
	}
	if most > 5 {
		t.Errorf("%d nodes for 4 Pods", most)
	}
	if made := w.machines - 4; made > 4+24 {
		t.Errorf("%d nodes made in 4 hours", made)
	}
	w.events.has(t, "FailedToScaleUpGroup", "somebody.example/gate")
}

func TestStartupTaintIsWaitedFor(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 100))
	w.newNode = func(n *corev1.Node) {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "agent.example/not-ready", Effect: corev1.TaintEffectNoSchedule})
	}
	w.want["web"] = workload{2, "3"}
	w.run(5*time.Minute, step)
	w.expect("a", 2, 2)
	for _, n := range w.nodes() {
		n.Spec.Taints = nil
		w.must(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, ""))
	}
	w.run(5*time.Minute, step)
	w.expect("a", 2, 0)
}

func TestUnhealthyClusterIsLeftAlone(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 20))
	w.want["web"] = workload{8, "3"}
	w.run(20*time.Minute, step)
	w.setReady(8, false)
	w.want["web"] = workload{16, "3"}
	w.run(20*time.Minute, step)
	if w.target("a") != 8 {
		t.Errorf("the pool has %d nodes", w.target("a"))
	}
	if s := w.poolStatus("a"); s.State != stateBlocked || !strings.Contains(s.Message, "8 of the cluster's 8 nodes") {
		t.Errorf("status %+v", s)
	}
	w.setReady(8, true)
	w.run(2*time.Minute, step)
	w.expect("a", 16, 0)
}

func (w *world) setReady(count int, ready bool) {
	status := corev1.ConditionUnknown
	if ready {
		status = corev1.ConditionTrue
	}
	for _, n := range w.nodes()[:count] {
		n.Status.Conditions[0].Status, n.Status.Conditions[0].LastTransitionTime = status, metav1.NewTime(w.clock.Now())
		w.must(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, ""))
	}
}

func TestUnreadyEmptyNodeGoesAfterItsTime(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 20))
	w.want["web"] = workload{4, "3"}
	w.run(20*time.Minute, step)
	w.want["web"] = workload{3, "3"}
	w.run(step, step)
	for _, n := range w.nodes() {
		if free := freeCores(w.nodes(), w.pods()); free[n.Name] == 4 {
			n.Status.Conditions[0] = corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, LastTransitionTime: metav1.NewTime(w.clock.Now())}
			w.must(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("nodes"), n, ""))
		}
	}
	w.run(19*time.Minute, step)
	w.expect("a", 4, 0)
	w.run(2*time.Minute, step)
	w.expect("a", 3, 0)
}

func TestMachinesThatAreNotMade(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 20))
	md := w.deployment("a")
	md.Spec.Replicas = ptr.To[int32](4)
	w.must(w.mgmt.Update(context.Background(), md))
	for range 16 * 6 { // Cluster API does nothing
		w.clock.SetTime(w.clock.Now().Add(step))
		w.look()
	}
	if w.target("a") != 0 {
		t.Errorf("the pool's target is %d", w.target("a"))
	}
}

func TestPoolOfUnknownNodesSaysSo(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 20, nodegroup.CPUAnnotation, ""))
	w.want["web"] = workload{1, "3"}
	w.run(time.Minute, step)
	w.expect("a", 0, 1)
	w.events.has(t, "web-", "NotTriggerScaleUp", "a: "+unknownOffer)
	if s := w.poolStatus("a"); s.State != stateBlocked || s.Message != unknownOffer {
		t.Errorf("status %+v", s)
	}
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

// The real planner instead of the tests' own, through growth, a drain that a budget slows down, and the way back to zero.
func TestWithTheRealPlanner(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10), pool("b", 0, 10, nodegroup.TaintsAnnotation, "dedicated=db:NoSchedule"))
	factory := informers.NewSharedInformerFactory(w.kube, 0)
	p, err := plan.New(t.Context(), factory, plan.Options{Clock: w.clock})
	w.must(err)
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	w.plan = p
	w.restart()
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
