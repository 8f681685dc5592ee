package autoscaler

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
)

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

func TestBudgetLetsPodsGoOneByOne(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.MaxPodEvictionTime = 15 * time.Second }, pool("a", 0, 10))
	w.want["big"] = workload{2, "3"}
	w.run(2*time.Minute, step)
	delete(w.want, "big")
	w.want["small"] = workload{8, "200m"}
	w.budget["small"] = 1
	w.run(step, step)
	w.spread("small") // four on each node: more than there is time for one
	w.run(20*time.Minute, step)
	w.expect("a", 1, 0)
	if n := w.events.count("ScaleDownFailed"); n > 0 {
		t.Errorf("%d drains were given up: %v", n, w.events.list)
	}
	w.clean()
}

func TestBudgetThatNeverAllowsIsToldWithoutADrain(t *testing.T) {
	w := newWorld(t, nil, pool("a", 0, 10))
	w.planForReal()
	w.want["big"] = workload{2, "3"}
	w.run(2*time.Minute, step)
	delete(w.want, "big")
	w.want["guarded"], w.budget["guarded"] = workload{1, "100m"}, 0
	w.budgets = []*policyv1.PodDisruptionBudget{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "guard"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "guarded"}}},
	}}
	w.run(time.Hour, 30*time.Second)
	w.expect("a", 1, 0)
	if told, failed := w.events.count(w.nodes()[0].Name, "NoScaleDown", "PodDisruptionBudget default/guard"), w.events.count("ScaleDownFailed"); told != 1 || failed != 0 {
		t.Errorf("told %d times what keeps the node, tried in vain %d times: %v", told, failed, w.events.list)
	}
	if s := w.poolStatus("a"); s.State != stateIdle || !strings.Contains(s.Message, "PodDisruptionBudget default/guard") {
		t.Errorf("status %+v", s)
	}
	w.clean()
}
