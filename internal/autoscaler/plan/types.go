// Package plan decides which node pools grow for pods that find no place, and which nodes may go: what the autoscaler's runtime then carries
// out. It decides only: it reads no API and changes nothing.
package plan

import (
	"regexp"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/utils/clock"
)

// Group is an autoscaled node pool as the plan sees it.
type Group struct {
	Name string
	// Templates are what the next nodes will look like (labels, taints, capacity, allocatable): one per zone, in the order in which the
	// provider will use the zones. At least one.
	Templates []*corev1.Node
	CSINode   *storagev1.CSINode // limits and topology keys of drivers on a new node, may be nil
	Size      int                // target size now, upcoming nodes included
	Min, Max  int
	Upcoming  int     // nodes asked for that are not registered or not ready yet: they take pending pods first
	Price     float64 // BRL per hour of a node, 0 unknown
	Blocked   string  // why it may not grow now (backoff, at quota), "" when it may; shown in refusals
}

// Limits hold for the whole cluster. 0 is none.
type Limits struct {
	MaxNodesTotal          int
	MaxCores, MaxMemoryGiB int64
}

// State is the cluster that a plan starts from.
type State struct {
	Nodes      []*corev1.Node
	Pods       []*corev1.Pod // bound and pending ones
	DaemonSets []*appsv1.DaemonSet
	PDBs       []*policyv1.PodDisruptionBudget
	Groups     []Group
	Limits     Limits
	NodeGroup  func(node string) string // "" for a node of no group
}

// Options of a planner; the zero value is upstream's defaults but for the priority cutoff, which callers set.
type Options struct {
	Expander []string // least-waste, random, priority, price: each narrows what the one before left; none is least-waste
	// BalanceSimilar spreads growth over groups whose nodes differ only by name and zone.
	BalanceSimilar bool
	// PriorityCutoff is the priority below which pods neither make nodes nor keep them.
	PriorityCutoff int32
	// MaxBinpackingTime bounds a plan; pods that it leaves out are planned for the next time. 0 is no bound.
	MaxBinpackingTime time.Duration
	Clock             clock.PassiveClock // nil is the real one
}

// Priorities say which groups the expander priority prefers: the highest number with a pattern that matches a group's name.
type Priorities map[int][]*regexp.Regexp

// ScaleUp is what makes room for pending pods. A pod of a DaemonSet, one below the priority cutoff, one with scheduling gates, and one that is
// being deleted is in none of its lists.
type ScaleUp struct {
	Increase  map[string]int           // by group
	Triggered map[string][]*corev1.Pod // by group: pods that its new nodes are for
	Waiting   []*corev1.Pod            // fit on present or upcoming nodes: nothing to do
	Refused   []Refusal                // no group helps
}

// Refusal says for each group why it does not help the pod.
type Refusal struct {
	Pod     *corev1.Pod
	Reasons map[string]string // by group: "1 Insufficient cpu", "max node group size reached", what the group is blocked by
}

// ScaleDownOptions are the rules for nodes that may go, by upstream's names.
type ScaleDownOptions struct {
	UtilizationThreshold              float64 // a node is under-used below it
	IgnoreDaemonSetsUtilization       bool
	IgnoreMirrorPodsUtilization       bool
	SkipNodesWithSystemPods           bool
	SkipNodesWithLocalStorage         bool
	SkipNodesWithCustomControllerPods bool
	MinReplicaCount                   int // pods that a controller must have for one to be moved
}

// ScaleDown is which candidates may go. All of Removable can go together: their pods have places without each other, and no budget is spent
// on two nodes.
type ScaleDown struct {
	Removable []Removable
	Kept      map[string]KeptReason // by node
}

// Removable is a node that nothing needs.
type Removable struct {
	Node, Group string
	Empty       bool
	Utilization float64
	Pods        []*corev1.Pod // to be moved; those of DaemonSets and mirror pods are not among them
}

// KeptReason is why a node stays.
type KeptReason struct {
	Code    string
	Message string // names the pod or budget
}

// The codes of KeptReason are upstream's.
const (
	NotAutoscaled               = "NotAutoscaled"
	ScaleDownDisabledAnnotation = "ScaleDownDisabledAnnotation"
	NotUnderutilized            = "NotUnderutilized"
	NodeGroupMinSizeReached     = "NodeGroupMinSizeReached"
	BlockedByPod                = "BlockedByPod"
	NoPlaceToMovePods           = "NoPlaceToMovePods"
)
