package simulation

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// Node is a node of the simulated cluster with the pods on it.
type Node struct {
	*framework.NodeInfo
	Name  string
	index int // in snapshot.list, snapshot.nodes and snapshot.free
	depth int // of forks when it was added
}

// free is what a node has left of the resources that nearly every pod asks for, side by side for all nodes: most nodes that cannot take a
// pod are passed over without touching their NodeInfo.
type free struct{ milliCPU, memory, pods int64 }

// snapshot is what the scheduler's plugins see. Changes made after fork can be taken back: a journal of the way back is kept, nothing is
// copied.
type snapshot struct {
	nodes   []*Node
	list    []fwk.NodeInfo
	free    []free
	byName  map[string]*Node
	pvcs    map[string]int // pods on nodes by claim
	minding minding
	journal []func()
	held    []func() // gives back what was reserved outside of the snapshot: kept without a fork, too
	marks   []mark   // of open forks
	// changes are noted for cycles that are kept.
	recording bool
	changes   []change
}

// minding are the nodes with pods that have wishes about other pods: every cycle asks for them, so they are listed once per change.
type minding struct {
	listed                 bool
	affinity, antiAffinity []fwk.NodeInfo
}

// mark is how long the journal and the list of what is held were at a fork.
type mark struct{ journal, held int }

var _ fwk.SharedLister = &snapshot{}

func newSnapshot(nodes int) *snapshot {
	return &snapshot{
		nodes:  make([]*Node, 0, nodes),
		list:   make([]fwk.NodeInfo, 0, nodes),
		free:   make([]free, 0, nodes),
		byName: make(map[string]*Node, nodes),
		pvcs:   map[string]int{},
	}
}

func (s *snapshot) fork() { s.marks = append(s.marks, mark{len(s.journal), len(s.held)}) }

// revert takes back all changes since the last fork.
func (s *snapshot) revert() {
	mark := s.marks[len(s.marks)-1]
	s.marks = s.marks[:len(s.marks)-1]
	s.journal = undo(s.journal, mark.journal)
	s.held = undo(s.held, mark.held)
}

// undo calls the last functions of the list first, and returns the list without them.
func undo(list []func(), from int) []func() {
	for i := len(list) - 1; i >= from; i-- {
		list[i]()
		list[i] = nil
	}
	return list[:from]
}

// commit keeps the changes since the last fork; they now belong to the fork around it.
func (s *snapshot) commit() {
	s.marks = s.marks[:len(s.marks)-1]
	if len(s.marks) == 0 {
		s.journal = s.journal[:0]
	}
	for i := len(s.nodes) - 1; i >= 0 && s.nodes[i].depth > len(s.marks); i-- {
		s.nodes[i].depth = len(s.marks)
	}
}

func (s *snapshot) onRevert(undo func()) {
	if len(s.marks) > 0 {
		s.journal = append(s.journal, undo)
	}
}

func (s *snapshot) note(n *Node, pod fwk.PodInfo, sign int) {
	if s.recording {
		s.changes = append(s.changes, change{n, pod, sign})
	}
}

// noteNode notes the node with its pods, which come after it and go before it.
func (s *snapshot) noteNode(n *Node, sign int) {
	if sign > 0 {
		s.note(n, nil, sign)
	}
	for _, pod := range n.Pods {
		s.note(n, pod, sign)
	}
	if sign < 0 {
		s.note(n, nil, sign)
	}
}

func (s *snapshot) addNode(info *framework.NodeInfo) *Node {
	n := &Node{NodeInfo: info, Name: info.Node().Name, index: len(s.nodes), depth: len(s.marks)}
	s.nodes = append(s.nodes, n)
	s.list = append(s.list, info)
	s.free = append(s.free, free{})
	s.byName[n.Name] = n
	s.changed(n)
	for _, pod := range info.Pods {
		s.countClaims(pod.GetPod(), 1)
	}
	s.noteNode(n, 1)
	s.onRevert(func() {
		s.noteNode(n, -1)
		for _, pod := range info.Pods {
			s.countClaims(pod.GetPod(), -1)
		}
		s.cutNode(n)
	})
	return n
}

// removeNode takes the node and its pods out. The last node takes its place in the list, and goes back on revert.
func (s *snapshot) removeNode(n *Node) {
	for _, pod := range n.Pods {
		s.countClaims(pod.GetPod(), -1)
	}
	index := n.index
	s.noteNode(n, -1)
	s.cutNode(n)
	s.onRevert(func() {
		for _, pod := range n.Pods {
			s.countClaims(pod.GetPod(), 1)
		}
		s.nodes, s.list, s.free = append(s.nodes, n), append(s.list, n.NodeInfo), append(s.free, free{})
		s.byName[n.Name] = n
		n.index = len(s.nodes) - 1
		s.swap(index, n.index)
		s.changed(n)
		s.noteNode(n, 1)
	})
}

func (s *snapshot) cutNode(n *Node) {
	last := len(s.nodes) - 1
	s.swap(n.index, last)
	s.minding.listed = s.minding.listed && len(n.PodsWithAffinity) == 0
	s.nodes[last], s.list[last] = nil, nil
	s.nodes, s.list, s.free = s.nodes[:last], s.list[:last], s.free[:last]
	delete(s.byName, n.Name)
}

func (s *snapshot) swap(i, j int) {
	s.nodes[i], s.nodes[j] = s.nodes[j], s.nodes[i]
	s.list[i], s.list[j] = s.list[j], s.list[i]
	s.free[i], s.free[j] = s.free[j], s.free[i]
	s.nodes[i].index, s.nodes[j].index = i, j
}

func (s *snapshot) addPod(n *Node, pod fwk.PodInfo) {
	n.AddPodInfo(pod)
	s.changed(n)
	s.note(n, pod, 1)
	s.countClaims(pod.GetPod(), 1)
	if n.depth == len(s.marks) && len(s.marks) > 0 {
		return // the node goes with all its pods on revert
	}
	s.onRevert(func() {
		// The journal runs backwards, so that it is the last one.
		if err := n.RemovePod(discard, pod.GetPod()); err != nil {
			panic(fmt.Sprintf("simulation: take back a pod: %v", err))
		}
		s.note(n, pod, -1)
		s.minding.listed = false
		s.changed(n)
		s.countClaims(pod.GetPod(), -1)
	})
}

// changed notes what follows from other pods on the node.
func (s *snapshot) changed(n *Node) {
	s.minding.listed = s.minding.listed && len(n.PodsWithAffinity) == 0
	s.free[n.index] = free{
		milliCPU: n.Allocatable.MilliCPU - n.Requested.MilliCPU,
		memory:   n.Allocatable.Memory - n.Requested.Memory,
		pods:     int64(n.Allocatable.AllowedPodNumber - len(n.Pods)),
	}
}

func (s *snapshot) countClaims(pod *corev1.Pod, sign int) {
	for i := range pod.Spec.Volumes {
		if claim := pod.Spec.Volumes[i].PersistentVolumeClaim; claim != nil {
			s.pvcs[framework.GetNamespacedName(pod.Namespace, claim.ClaimName)] += sign
		}
	}
}

func (s *snapshot) NodeInfos() fwk.NodeInfoLister       { return s }
func (s *snapshot) StorageInfos() fwk.StorageInfoLister { return s }
func (s *snapshot) List() ([]fwk.NodeInfo, error)       { return s.list, nil }
func (s *snapshot) IsPVCUsedByPods(key string) bool     { return s.pvcs[key] > 0 }

func (s *snapshot) Get(name string) (fwk.NodeInfo, error) {
	if n, ok := s.byName[name]; ok {
		return n.NodeInfo, nil
	}
	return nil, fmt.Errorf("node %q is not in the snapshot", name)
}

func (s *snapshot) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	return s.listMinding().affinity, nil
}

func (s *snapshot) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	return s.listMinding().antiAffinity, nil
}

func (s *snapshot) listMinding() *minding {
	m := &s.minding
	if m.listed {
		return m
	}
	*m = minding{listed: true}
	for _, n := range s.nodes {
		if len(n.PodsWithAffinity) > 0 {
			m.affinity = append(m.affinity, n.NodeInfo)
		}
		if len(n.PodsWithRequiredAntiAffinity) > 0 {
			m.antiAffinity = append(m.antiAffinity, n.NodeInfo)
		}
	}
	return m
}
