package plan

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/utils/clock"

	"magalu.cloud/mke/internal/autoscaler/expander"
	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// Planner simulates with the kube-scheduler's framework. It is not safe for concurrent use.
type Planner struct {
	opts     Options
	clock    clock.PassiveClock
	cluster  *simulation.Cluster
	expander *expander.Chain
	homes    map[types.UID]string // where ScaleDown found room for a pod the last time
}

// New makes a planner. The simulation adds to informers what it looks up (see simulation.New): start them afterwards, and plan when they
// have synced.
func New(ctx context.Context, informers informers.SharedInformerFactory, opts Options) (*Planner, error) {
	chain, err := expander.New(opts.Expander)
	if err != nil {
		return nil, err
	}
	cluster, err := simulation.New(ctx, informers)
	if err != nil {
		return nil, err
	}
	p := &Planner{opts: opts, clock: opts.Clock, cluster: cluster, expander: chain}
	if p.clock == nil {
		p.clock = clock.RealClock{}
	}
	return p, nil
}

// SetPriorities replaces what the expander priority goes by.
func (p *Planner) SetPriorities(priorities Priorities) { p.expander.SetPriorities(priorities) }

// deadline is when the plan that begins now has to be done.
func (p *Planner) deadline() func() bool {
	if p.opts.MaxBinpackingTime == 0 {
		return func() bool { return false }
	}
	end := p.clock.Now().Add(p.opts.MaxBinpackingTime)
	return func() bool { return p.clock.Now().After(end) }
}

// present are the pods that take room: finished ones do not, and those below the priority cutoff yield to any other.
func (p *Planner) present(pods []*corev1.Pod) []*corev1.Pod {
	kept := make([]*corev1.Pod, 0, len(pods))
	for _, pod := range pods {
		if pod.Spec.NodeName != "" && !finished(pod) && !p.expendable(pod) {
			kept = append(kept, pod)
		}
	}
	return kept
}

// plannable are the pending pods that a node could be for.
func (p *Planner) plannable(pending []*corev1.Pod) []*corev1.Pod {
	kept := make([]*corev1.Pod, 0, len(pending))
	for _, pod := range pending {
		waits := pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil && !finished(pod) && len(pod.Spec.SchedulingGates) == 0
		if waits && !p.expendable(pod) && !ofDaemonSet(pod) {
			kept = append(kept, pod)
		}
	}
	return kept
}

func (p *Planner) expendable(pod *corev1.Pod) bool { return priority(pod) < p.opts.PriorityCutoff }

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

func ofDaemonSet(pod *corev1.Pod) bool {
	owner := metav1.GetControllerOfNoCopy(pod)
	return owner != nil && owner.Kind == "DaemonSet"
}
