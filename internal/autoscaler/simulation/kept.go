package simulation

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework/plugins/names"
)

// change is a pod that came to a node or left it, or without a pod the node itself.
type change struct {
	node *Node
	pod  fwk.PodInfo
	sign int
}

// Record notes all changes from now on, until Reset, for cycles that BeginKept begins.
func (c *Cluster) Record() { c.snapshot.recording = true }

// BeginKept starts a cycle that goes on through all changes of the cluster, the way back included: it learns of them before it is asked
// again. The work for a change is the same however large the cluster is.
func (c *Cluster) BeginKept(ctx context.Context, pod *corev1.Pod) *Cycle {
	cy := c.Begin(ctx, pod)
	cy.kept = true
	return cy
}

// catchUp learns what has changed since the cycle was last asked. What it cannot learn it gathers anew.
func (cy *Cycle) catchUp() {
	changes := cy.cluster.snapshot.changes[cy.seen:]
	cy.seen += len(changes)
	for _, ch := range changes {
		if cy.stale || cy.fresh || cy.verdict != nil {
			cy.stale = true
			return
		}
		cy.follow(ch)
	}
}

func (cy *Cycle) follow(ch change) {
	if ch.pod == nil {
		if cy.spread != nil {
			cy.followNode(ch.node, ch.sign)
		}
		return
	}
	pod, skipped := ch.pod.GetPod(), cy.state.GetSkipFilterPlugins()
	if cy.spread == nil && skipped.Has(names.InterPodAffinity) {
		// Nothing kept the pod away from anything so far.
		cy.stale = len(ch.pod.GetRequiredAntiAffinityTerms()) > 0 && ch.sign > 0 && cy.mayMind(ch.pod)
		return
	}
	if cy.spread != nil && (pod.DeletionTimestamp != nil && pod.Namespace == cy.pod.Pod.Namespace || skipped.Has(names.InterPodAffinity) && ch.sign > 0 && cy.mayMind(ch.pod)) {
		cy.stale = true // the plugin counts ending pods only when it is told of them
		return
	}
	if !cy.tell(ch.pod, ch.node, ch.sign) {
		cy.stale = true
	}
}

// mayMind tells whether anti-affinity of the pod may be about those of the cycle: labels of their namespace are not looked up.
func (cy *Cycle) mayMind(pod fwk.PodInfo) bool {
	for _, term := range pod.GetRequiredAntiAffinityTerms() {
		someNamespaces, _ := term.NamespaceSelector.Requirements()
		if len(someNamespaces) > 0 || term.Matches(cy.pod.Pod, nil) {
			return true
		}
	}
	return false
}

// tell the plugins of a pod that came to the node or left it.
func (cy *Cycle) tell(pod fwk.PodInfo, n *Node, sign int) bool {
	var before []int
	if cy.spread != nil {
		before = cy.spread.countsAt(n.Node())
	}
	fw, run := cy.cluster.framework, cy.cluster.framework.RunPreFilterExtensionAddPod
	if sign < 0 {
		run = fw.RunPreFilterExtensionRemovePod
	}
	if !run(cy.ctx, cy.state, cy.pod.Pod, pod, n.NodeInfo).IsSuccess() {
		return false
	}
	if cy.spread != nil {
		cy.spread.countsChanged(n.Node(), before)
	}
	return true
}

// followNode adds or removes what the plugin PodTopologySpread knows of a node without pods.
func (cy *Cycle) followNode(n *Node, sign int) {
	counted, ok := cy.counted(n)
	if !ok {
		cy.stale = true
		return
	}
	for i, yes := range counted {
		if yes {
			cy.spread.constraints[i].addNode(n.Node(), sign)
		}
	}
}

// counted asks the plugin by which constraints it counts pods on the node: one of the cycle's pods comes and goes.
func (cy *Cycle) counted(n *Node) (counted []bool, ok bool) {
	fw, node := cy.cluster.framework, n.Node()
	before := cy.spread.countsAt(node)
	if !fw.RunPreFilterExtensionAddPod(cy.ctx, cy.state, cy.pod.Pod, cy.pod, n.NodeInfo).IsSuccess() {
		return nil, false
	}
	counted = make([]bool, len(before))
	for i, now := range cy.spread.countsAt(node) {
		counted[i] = now != before[i]
	}
	ok = fw.RunPreFilterExtensionRemovePod(cy.ctx, cy.state, cy.pod.Pod, cy.pod, n.NodeInfo).IsSuccess()
	cy.spread.forget(node, before)
	return counted, ok
}

// keepSpread prepares what the plugin PodTopologySpread gathered for pods and nodes that go, too.
func (cy *Cycle) keepSpread() {
	if cy.spread == nil {
		return
	}
	if !cy.spreadsItself() || !cy.spread.keep(cy.pod.Pod) {
		cy.fresh = true
		return
	}
	for _, n := range cy.cluster.snapshot.nodes {
		counted, ok := cy.counted(n)
		if !ok {
			cy.fresh = true
			return
		}
		for i, yes := range counted {
			if c := &cy.spread.constraints[i]; yes {
				c.nodes[n.Node().Labels[c.key]]++
			}
		}
	}
}
