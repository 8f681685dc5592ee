package addon

import (
	"context"
	"fmt"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/addons"
)

var ownedConditions = []string{mkev1.AddonAppliedCondition, mkev1.AddonReadyCondition}

// rollout says how far an addon's Pods are.
type rollout struct {
	pods, ready int32
	// done is true when all Pods are of the newest content and ready.
	done bool
	// stuck is true when a workload has given up.
	stuck bool
}

// rollout sums up the addon's workloads.
func (t *targets) rollout(ctx context.Context, s *scope) *rollout {
	sum := &rollout{done: true}
	for _, object := range s.addon.Status.Inventory {
		if !slices.Contains([]string{"Deployment", "DaemonSet", "StatefulSet"}, object.Kind) {
			continue
		}
		w := t.watcherOf(object.Location, client.ObjectKeyFromObject(s.mgc))
		if w == nil {
			return nil
		}
		o := w.workload(ctx, object)
		if o == nil {
			return nil // its event comes soon
		}
		one := progress(o)
		sum.pods += one.pods
		sum.ready += min(one.ready, one.pods)
		sum.done = sum.done && one.done
		sum.stuck = sum.stuck || one.stuck
	}
	return sum
}

func progress(o client.Object) rollout {
	switch w := o.(type) {
	case *appsv1.Deployment:
		n := ptr.Deref(w.Spec.Replicas, 1)
		p := rollout{pods: n, ready: w.Status.ReadyReplicas}
		p.done = w.Status.ObservedGeneration >= w.Generation && w.Status.UpdatedReplicas >= n && w.Status.ReadyReplicas >= n && w.Status.Replicas <= n
		for _, c := range w.Status.Conditions {
			p.stuck = p.stuck || c.Type == appsv1.DeploymentProgressing && c.Status == corev1.ConditionFalse
		}
		return p
	case *appsv1.DaemonSet:
		n := w.Status.DesiredNumberScheduled
		return rollout{pods: n, ready: w.Status.NumberReady,
			done: w.Status.ObservedGeneration >= w.Generation && w.Status.UpdatedNumberScheduled >= n && w.Status.NumberReady >= n}
	case *appsv1.StatefulSet:
		n := ptr.Deref(w.Spec.Replicas, 1)
		return rollout{pods: n, ready: w.Status.ReadyReplicas,
			done: w.Status.ObservedGeneration >= w.Generation && w.Status.UpdatedReplicas >= n && w.Status.ReadyReplicas >= n}
	}
	return rollout{done: true}
}

// summarize turns what was seen into phase, message and conditions.
func summarize(s *scope) {
	status := &s.addon.Status
	enabled := s.known && Enabled(s.mgc, s.entry, s.addon.Spec.State)
	if s.pods != nil {
		status.Pods, status.ReadyPods = s.pods.pods, s.pods.ready
	}
	switch {
	case s.problem != nil:
		status.Phase, status.Message = problemOf(s.problem)
	case !s.reachable:
		if status.Phase == "" {
			status.Phase, status.Message = mkev1.AddonPhasePending, "waiting for the cluster"
		}
		return
	case !enabled && len(status.Inventory) == 0:
		status.Phase, status.Message = mkev1.AddonPhaseDisabled, disabledMessage(s)
	case !enabled:
		status.Phase, status.Message = mkev1.AddonPhaseDeleting, "removing its parts"
	case status.Revision == "":
		status.Phase, status.Message = mkev1.AddonPhaseApplying, "installing"
	case s.pods == nil || !s.pods.done && !s.pods.stuck:
		status.Phase, status.Message = mkev1.AddonPhaseApplying, fmt.Sprintf("%d of %d pods are ready", status.ReadyPods, status.Pods)
	case s.pods.stuck:
		status.Phase, status.Message = mkev1.AddonPhaseFailed, fmt.Sprintf("its pods do not become ready: %d of %d are", status.ReadyPods, status.Pods)
	default:
		status.Phase, status.Message = mkev1.AddonPhaseReady, "ready"
	}
	setConditions(s, enabled)
}

func disabledMessage(s *scope) string {
	if s.known && s.entry.Essential {
		return "the cluster brings its own network plugin"
	}
	return "disabled"
}

// problemOf says in plain words why objects are not as wanted.
func problemOf(err error) (mkev1.AddonPhase, string) {
	switch {
	case addons.IsNotServedYet(err):
		return mkev1.AddonPhaseApplying, "waiting for a part that another addon brings"
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsConflict(err):
		return mkev1.AddonPhaseFailed, "the cluster refuses a part of it; look for admission policies or webhooks that do not allow it"
	}
	return mkev1.AddonPhaseApplying, "waiting for the cluster's API server"
}

func setConditions(s *scope, enabled bool) {
	status := s.addon.Status
	set := func(condition string, is bool) {
		c := metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: mkev1.ReadyReason}
		if !is {
			c.Status, c.Reason, c.Message = metav1.ConditionFalse, mkev1.WaitingReason, status.Message
		}
		conditions.Set(s.addon, c)
	}
	set(mkev1.AddonAppliedCondition, enabled && s.problem == nil && status.Revision != "")
	set(mkev1.AddonReadyCondition, status.Phase == mkev1.AddonPhaseReady)
}
