package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
	"magalu.cloud/mke/internal/autoscaler/plan"
)

// upState remembers what the last looks said of Pods.
type upState struct {
	last  time.Time            // of the last growth
	told  map[types.UID]string // the last event of a Pod that no group helps
	atMax map[string]bool      // groups that could not grow because of their largest size
	known map[types.UID]bool   // Pods of the last plan
	again time.Time            // when these are planned again
}

func newUpState() *upState {
	return &upState{told: map[types.UID]string{}, atMax: map[string]bool{}}
}

// plansApart bounds planning for the same Pods again and again, while their nodes come up one by one, to a fifth of the time.
const plansApart = 4

func (u *upState) planned(pods []*corev1.Pod, again time.Time) {
	u.known, u.again = make(map[types.UID]bool, len(pods)), again
	for _, p := range pods {
		u.known[p.UID] = true
	}
}

func (u *upState) knows(pods []*corev1.Pod) bool {
	return !slices.ContainsFunc(pods, func(p *corev1.Pod) bool { return !u.known[p.UID] })
}

// schedulerTries Pods within this time when it is not behind.
const schedulerTries = 2 * time.Second

// pending returns the Pods for which the scheduler found no node, and those that it has not tried yet because it is behind: it takes minutes
// for thousands of Pods while new nodes come. Only of a scheduler that has refused others: there may be none of that name.
func (a *autoscaler) pending(l *look) []*corev1.Pod {
	var refused, untried []*corev1.Pod
	working := map[string]bool{}
	for _, p := range l.pods {
		switch {
		case int(priority(p)) < a.opts.ExpendablePriority:
		case unschedulable(p):
			working[p.Spec.SchedulerName] = true
			if l.reached(p.CreationTimestamp.Add(a.opts.NewPodDelay)) {
				refused = append(refused, p)
			}
		case waits(p) && scheduled(p) == nil && len(p.Spec.SchedulingGates) == 0:
			untried = append(untried, p)
		}
	}
	behind := slices.DeleteFunc(untried, func(p *corev1.Pod) bool {
		return !working[p.Spec.SchedulerName] || !l.reached(p.CreationTimestamp.Add(max(schedulerTries, a.opts.NewPodDelay)))
	})
	unschedulablePods.WithLabelValues("unschedulable").Set(float64(len(refused)))
	unschedulablePods.WithLabelValues("scheduler_unprocessed").Set(float64(len(behind)))
	return append(refused, behind...)
}

func unschedulable(p *corev1.Pod) bool {
	if !waits(p) {
		return false
	}
	c := scheduled(p)
	return c != nil && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
}

// waits says that the Pod waits for a node of whatever kind.
func waits(p *corev1.Pod) bool {
	return p.Spec.NodeName == "" && p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodPending && !ofDaemonSet(p)
}

// scheduled is what the scheduler last said of the Pod, nil if it has not tried it yet.
func scheduled(p *corev1.Pod) *corev1.PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == corev1.PodScheduled {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

func priority(p *corev1.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

func ofDaemonSet(p *corev1.Pod) bool {
	c := metav1.GetControllerOf(p)
	return c != nil && c.Kind == "DaemonSet"
}

// scaleUp makes nodes for Pods that fit nowhere.
func (a *autoscaler) scaleUp(ctx context.Context, l *look) error {
	pods := a.pending(l)
	l.pending = len(pods)
	if len(pods) == 0 {
		a.up.told, a.up.atMax, a.up.known = map[types.UID]string{}, map[string]bool{}, nil
		return nil
	}
	if l.now.Before(a.up.again) && a.up.knows(pods) {
		l.wakeAt(a.up.again)
		return nil
	}
	began := time.Now()
	p, err := a.planner.ScaleUp(ctx, l.state, pods)
	observeDuration("scaleUp:plan", began)
	if err != nil {
		return err
	}
	a.up.planned(pods, l.now.Add(min(plansApart*time.Since(began), a.opts.ScanInterval)))
	a.up.atMax = map[string]bool{}
	for _, group := range slices.Sorted(maps.Keys(p.Increase)) {
		if err := a.grow(ctx, l, group, p.Increase[group], p.Triggered[group]); err != nil {
			return err
		}
	}
	a.tellRefused(l, p.Refused)
	return nil
}

// grow raises one group's target. The write says from which size: one that was made already, or that comes too late, changes nothing.
func (a *autoscaler) grow(ctx context.Context, l *look, group string, by int, pods []*corev1.Pod) error {
	i := slices.IndexFunc(l.views, func(v view) bool { return v.Name == group })
	if i < 0 || by <= 0 {
		return nil
	}
	v := &l.views[i]
	to := min(v.Target+by, v.Max)
	if to <= v.Target {
		return nil
	}
	err := a.groups.Resize(ctx, group, v.Target, to)
	if errors.Is(err, nodegroup.ErrChanged) {
		l.acted, a.up.known = true, nil // look again at what it is now
		return nil
	}
	if err != nil {
		return err
	}
	l.acted, a.up.last = true, l.now
	klog.InfoS("Scaled up", "group", group, "from", v.Target, "to", to, "pods", len(pods))
	scaledUpNodes.Add(float64(to - v.Target))
	lastActivity.WithLabelValues("scaleUp").Set(float64(l.now.Unix()))
	change := fmt.Sprintf("%s %d->%d (max: %d)", group, v.Target, to, v.Max)
	a.events.Eventf(a.statusObject(), corev1.EventTypeNormal, "ScaledUpGroup", "Scale-up: group %s size set to %d instead of %d (max: %d)", group, to, v.Target, v.Max)
	for _, p := range pods {
		delete(a.up.told, p.UID)
		a.events.Eventf(p, corev1.EventTypeNormal, "TriggeredScaleUp", "pod triggered scale-up: [{%s}]", change)
	}
	v.upcoming += to - v.Target
	v.Target = to
	return nil
}

// tellRefused says on each Pod why no group helps, again only when the reasons are others.
func (a *autoscaler) tellRefused(l *look, refused []plan.Refusal) {
	var unknown []string
	for i := range l.views {
		if v := &l.views[i]; !a.templates.known(v) {
			unknown = append(unknown, v.Name+": "+unknownOffer)
		}
	}
	unhelped := make(map[types.UID]string, len(refused))
	for _, r := range refused {
		parts := slices.Clone(unknown)
		for _, group := range slices.Sorted(maps.Keys(r.Reasons)) {
			parts = append(parts, group+": "+r.Reasons[group])
			if strings.Contains(r.Reasons[group], "max node group size reached") {
				a.up.atMax[group] = true
			}
		}
		if len(parts) == 0 {
			parts = []string{"no node pool may grow"}
		}
		message := strings.Join(parts, ", ")
		unhelped[r.Pod.UID] = message
		if a.up.told[r.Pod.UID] != message {
			a.events.Eventf(r.Pod, corev1.EventTypeNormal, "NotTriggerScaleUp", "pod didn't trigger scale-up: %s", message)
		}
	}
	a.up.told = unhelped
}
