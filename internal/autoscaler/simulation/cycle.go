package simulation

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// Cycle places pods that are all alike: what the filters need to know of the cluster is gathered once and then kept up to date with each
// placement, as the scheduler itself does when it imagines preemption.
type Cycle struct {
	cluster  *Cluster
	ctx      context.Context
	pod      *framework.PodInfo
	milliCPU int64
	memory   int64
	state    fwk.CycleState
	verdict  *fwk.Status // of PreFilter, about all nodes
	spread   *spread
	stale    bool
	fresh    bool // what was gathered cannot be kept up to date: gather again after each change
	coupled  bool
	kept     bool // learns of all changes, of which it knows the first seen
	seen     int
}

// Begin starts a cycle for pods like this one.
func (c *Cluster) Begin(ctx context.Context, pod *corev1.Pod) *Cycle {
	unbound := pod
	if pod.Spec.NodeName != "" {
		moved := *pod
		moved.Spec.NodeName = ""
		unbound = &moved
	}
	info := newPodInfo(unbound)
	request := info.CalculateResource().Resource
	cy := &Cycle{
		cluster: c, ctx: quiet(ctx), pod: info, milliCPU: request.GetMilliCPU(), memory: request.GetMemory(), stale: true,
		fresh: hasClaim(pod),
	}
	cy.coupled = cy.fresh || hasHardSpread(pod) || hasRequiredAffinity(pod)
	return cy
}

// BeginAlone begins a cycle for the pod without its own wishes about other pods. A node that does not take it then takes it in no case, and
// that is found out without looking at all pods of the cluster.
func (c *Cluster) BeginAlone(ctx context.Context, pod *corev1.Pod) *Cycle {
	alone := *identified(pod)
	alone.Spec.TopologySpreadConstraints = nil
	if a := alone.Spec.Affinity; a != nil {
		alone.Spec.Affinity = &corev1.Affinity{NodeAffinity: a.NodeAffinity}
	}
	return c.Begin(ctx, &alone)
}

// Coupled tells whether placing one of the pods may open another node to the next. Otherwise a node that does not take the pod takes none
// for the rest of the cycle.
func (cy *Cycle) Coupled() bool { return cy.coupled }

// Verdict is what is wrong with the pod on any node, nil when that depends on the node.
func (cy *Cycle) Verdict() *fwk.Status {
	cy.gather()
	return cy.verdict
}

func (cy *Cycle) gather() {
	if cy.kept {
		cy.catchUp()
	}
	if !cy.stale {
		return
	}
	cy.stale = false
	cy.state = framework.NewCycleState()
	_, status, _ := cy.cluster.framework.RunPreFilterPlugins(cy.ctx, cy.state, cy.pod.Pod)
	if status.IsSuccess() {
		status = nil
	}
	cy.verdict = status
	var ok bool
	if cy.spread, ok = openSpread(cy.state); !ok {
		cy.fresh = true
	}
	if cy.kept {
		cy.keepSpread()
	}
}

// Fits asks the scheduler's filters whether one more of the pods fits on the node: nil when it does.
func (cy *Cycle) Fits(n *Node) *fwk.Status {
	if verdict := cy.Verdict(); verdict != nil {
		return verdict
	}
	return cy.cluster.framework.RunFilterPlugins(cy.ctx, cy.state, cy.pod.Pod, n.NodeInfo)
}

// Find looks for a node that takes one more of the pods among those with an index in [from, to).
func (cy *Cycle) Find(from, to int) *Node {
	if cy.Verdict() != nil {
		return nil
	}
	s := cy.cluster.snapshot
	for i, f := range s.free[from:to] {
		if f.pods < 1 || (f.milliCPU < cy.milliCPU && cy.milliCPU > 0) || (f.memory < cy.memory && cy.memory > 0) {
			continue
		}
		if n := s.nodes[from+i]; cy.Fits(n) == nil {
			return n
		}
	}
	return nil
}

// Index is where the node stands in the order of Find. It holds until a node is removed.
func (n *Node) Index() int { return n.index }

// Place puts one of the pods on a node that it fits on, with its unbound volumes.
func (cy *Cycle) Place(pod *corev1.Pod, n *Node) error {
	if hasClaim(pod) {
		if err := cy.reserve(pod, n); err != nil {
			return err
		}
	}
	return cy.Settle(pod, n)
}

// Replace is Place for a pod that was found to fit there before that was taken back.
func (cy *Cycle) Replace(pod *corev1.Pod, n *Node) error {
	if !hasClaim(pod) {
		return cy.Settle(pod, n)
	}
	if status := cy.Fits(n); !status.IsSuccess() { // finds the volumes to reserve
		return fmt.Errorf("place pod %s/%s on node %s again: %w", pod.Namespace, pod.Name, n.Name, status.AsError())
	}
	return cy.Place(pod, n)
}

// Settle puts one of the pods on a node without asking whether it fits.
func (cy *Cycle) Settle(pod *corev1.Pod, n *Node) error {
	info := *cy.pod
	if pod.UID != cy.pod.Pod.UID || pod.Name != cy.pod.Pod.Name {
		info.Pod = identified(pod)
	}
	cy.cluster.snapshot.addPod(n, &info)
	if cy.kept {
		return nil
	}
	if cy.fresh {
		cy.stale = true
		return nil
	}
	return cy.learn(&info, n)
}

// reserve holds the volumes that the pod's unbound claims would be bound to, until the fork is taken back or the cluster reset.
func (cy *Cycle) reserve(pod *corev1.Pod, n *Node) error {
	fw, state := cy.cluster.framework, cy.state
	if status := fw.RunReservePluginsReserve(cy.ctx, state, pod, n.Name); !status.IsSuccess() {
		fw.RunReservePluginsUnreserve(cy.ctx, state, pod, n.Name)
		return fmt.Errorf("reserve volumes of pod %s/%s on node %s: %w", pod.Namespace, pod.Name, n.Name, status.AsError())
	}
	ctx := context.WithoutCancel(cy.ctx)
	s := cy.cluster.snapshot
	s.held = append(s.held, func() { fw.RunReservePluginsUnreserve(ctx, state, pod, n.Name) })
	return nil
}

func (cy *Cycle) learn(info fwk.PodInfo, n *Node) error {
	if cy.stale || cy.verdict != nil {
		return nil
	}
	status := cy.cluster.framework.RunPreFilterExtensionAddPod(cy.ctx, cy.state, cy.pod.Pod, info, n.NodeInfo)
	if !status.IsSuccess() {
		return status.AsError()
	}
	if cy.spread != nil {
		cy.spread.correct()
	}
	return nil
}

// NodeAdded tells the cycle of a node that was added after it began.
func (cy *Cycle) NodeAdded(n *Node) error {
	if cy.fresh || cy.stale || cy.verdict != nil {
		cy.stale = true
		return nil
	}
	if cy.state.GetSkipFilterPlugins().Has(names.InterPodAffinity) && len(n.PodsWithRequiredAntiAffinity) > 0 {
		cy.stale = true // until now nothing kept the pod away from anything
		return nil
	}
	for _, pod := range n.Pods {
		if err := cy.learn(pod, n); err != nil {
			return err
		}
	}
	return cy.newDomains(n)
}

// newDomains tells the plugin PodTopologySpread of a node without pods of this kind: one comes and goes.
func (cy *Cycle) newDomains(n *Node) error {
	if cy.spread == nil {
		return nil
	}
	if !cy.spreadsItself() {
		cy.stale = true // the plugin would not count the pod
		return nil
	}
	fw := cy.cluster.framework
	if status := fw.RunPreFilterExtensionAddPod(cy.ctx, cy.state, cy.pod.Pod, cy.pod, n.NodeInfo); !status.IsSuccess() {
		return status.AsError()
	}
	if status := fw.RunPreFilterExtensionRemovePod(cy.ctx, cy.state, cy.pod.Pod, cy.pod, n.NodeInfo); !status.IsSuccess() {
		return status.AsError()
	}
	cy.spread.domainsAdded()
	cy.spread.correct()
	return nil
}

// spreadsItself tells whether the pod is counted by all of its own constraints.
func (cy *Cycle) spreadsItself() bool {
	for _, c := range cy.pod.Pod.Spec.TopologySpreadConstraints {
		selector, err := metav1.LabelSelectorAsSelector(c.LabelSelector)
		if err != nil || !selector.Matches(labels.Set(cy.pod.Pod.Labels)) {
			return false
		}
	}
	return true
}

// Changed tells the cycle that the cluster changed in another way, so that everything is gathered again.
func (cy *Cycle) Changed() { cy.stale = true }

// Requests are the resources that one of the pods asks for.
func (cy *Cycle) Requests() (milliCPU, memory int64) { return cy.milliCPU, cy.memory }

// Reasons are a status's words for people, one comma between.
func Reasons(status *fwk.Status) string { return strings.Join(status.Reasons(), ", ") }

// MindsOthers tells whether it depends on other pods where the pod may go.
func MindsOthers(pod *corev1.Pod) bool {
	a := pod.Spec.Affinity
	apart := a != nil && a.PodAntiAffinity != nil && len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0
	return apart || hasHardSpread(pod) || hasRequiredAffinity(pod)
}

func hasHardSpread(pod *corev1.Pod) bool {
	for i := range pod.Spec.TopologySpreadConstraints {
		if pod.Spec.TopologySpreadConstraints[i].WhenUnsatisfiable == corev1.DoNotSchedule {
			return true
		}
	}
	return false
}

func hasClaim(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.PersistentVolumeClaim != nil || v.Ephemeral != nil {
			return true
		}
	}
	return false
}

func hasRequiredAffinity(pod *corev1.Pod) bool {
	a := pod.Spec.Affinity
	return a != nil && a.PodAffinity != nil && len(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution) > 0
}
