package nodepool

import (
	"fmt"
	"regexp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
)

// verdict is the pool's phase, the reason of its condition, and the message for people.
type verdict struct {
	phase           mkev1.NodePoolPhase
	reason, message string
}

// summarize turns what was seen into status.
func summarize(s *scope) {
	status := &s.pool.Status
	status.Replicas, status.ReadyReplicas = int32(len(s.machines)), 0
	for i := range s.machines {
		if isReady(&s.machines[i]) {
			status.ReadyReplicas++
		}
	}
	status.DesiredReplicas, status.Autoscaler = replicas(s), autoscalerStatus(s)
	v := judge(s)
	status.Phase, status.Message = v.phase, v.message
	condition := metav1.Condition{Type: mkev1.NodePoolReadyCondition, Status: metav1.ConditionFalse, Reason: v.reason, Message: v.message}
	if v.reason == mkev1.ReadyReason {
		condition.Status = metav1.ConditionTrue
	}
	conditions.Set(s.pool, condition)
}

func judge(s *scope) verdict {
	status := s.pool.Status
	switch {
	case !s.pool.DeletionTimestamp.IsZero():
		return verdict{mkev1.NodePoolDeleting, mkev1.DeletingReason, removalMessage(s, "removing the nodes")}
	case s.mgc == nil || s.cluster == nil || s.deployment == nil:
		return verdict{mkev1.NodePoolPending, mkev1.WaitingReason, "waiting for the cluster"}
	}
	if problem, found := cloudProblem(s); found {
		return problem
	}
	if !ptr.Deref(s.cluster.Status.Initialization.ControlPlaneInitialized, false) {
		return verdict{mkev1.NodePoolPending, mkev1.WaitingReason, "waiting for the control plane"}
	}
	wanted := replicas(s)
	switch {
	case status.Replicas > wanted && outdated(s) == 0:
		return verdict{mkev1.NodePoolScalingDown, mkev1.WaitingReason, removalMessage(s, fmt.Sprintf("removing nodes: %d left, %d wanted", status.Replicas, wanted))}
	case outdated(s) > 0:
		return verdict{mkev1.NodePoolScalingUp, mkev1.UpdatingReason, fmt.Sprintf("replacing nodes: %d to go", outdated(s))}
	case s.mgc.Spec.CNI == mkev1.CNINone && status.ReadyReplicas < wanted && joined(s) >= wanted:
		// Only the customer can make them Ready.
		return verdict{mkev1.NodePoolRunning, mkev1.ReadyReason, fmt.Sprintf("%d of %d nodes are ready; nodes need your network plugin", status.ReadyReplicas, wanted)}
	case status.ReadyReplicas >= wanted:
		return verdict{mkev1.NodePoolRunning, mkev1.ReadyReason, "ready"}
	case status.Phase == mkev1.NodePoolRunning && status.Replicas == wanted && joined(s) == wanted:
		// It was complete, and no machine is new: a node has trouble. The health check replaces it in time.
		return verdict{mkev1.NodePoolRunning, mkev1.UnhealthyReason, fmt.Sprintf("%d of %d nodes are ready", status.ReadyReplicas, wanted)}
	}
	return verdict{mkev1.NodePoolScalingUp, mkev1.WaitingReason, fmt.Sprintf("adding nodes: %d of %d are ready", status.ReadyReplicas, wanted)}
}

func isReady(m *clusterv1.Machine) bool {
	return m.DeletionTimestamp.IsZero() && conditions.IsTrue(m, clusterv1.MachineNodeReadyCondition)
}

// outdated counts machines that are to be replaced because the pool's settings changed.
func outdated(s *scope) int {
	n := 0
	for i := range s.machines {
		m := &s.machines[i]
		if m.DeletionTimestamp.IsZero() && conditions.IsFalse(m, clusterv1.MachineUpToDateCondition) {
			n++
		}
	}
	return n
}

func joined(s *scope) int32 {
	var n int32
	for i := range s.machines {
		if s.machines[i].Status.NodeRef.IsDefined() {
			n++
		}
	}
	return n
}

// cloudProblem is what the cloud says against the pool's VMs. Our provider writes these messages for people.
func cloudProblem(s *scope) (verdict, bool) {
	for i := range s.instances {
		m := &s.instances[i]
		if c := conditions.Get(m, infrav1.InstanceReadyCondition); c != nil && c.Status == metav1.ConditionFalse && c.Reason == "Failed" {
			return verdict{mkev1.NodePoolFailed, mkev1.CloudRefusedReason, c.Message}, true
		}
		if c := conditions.Get(m, infrav1.CloudReachableCondition); c != nil && c.Status == metav1.ConditionFalse {
			return verdict{mkev1.NodePoolScalingUp, mkev1.CloudUnavailableReason, c.Message}, true
		}
		if c := conditions.Get(m, infrav1.InstanceReadyCondition); c != nil && c.Reason == infrav1.InstanceCreationFailedReason &&
			conditions.IsTrue(m, infrav1.CloudReachableCondition) {
			return verdict{mkev1.NodePoolFailed, mkev1.CloudRefusedReason, c.Message}, true
		}
	}
	return verdict{}, false
}

// budgetName finds the PodDisruptionBudget in the API server's answer to an eviction, which Cluster API repeats.
var budgetName = regexp.MustCompile(`The disruption budget (\S+) needs`)

// removalMessage says what holds the removal of a node, else fallback.
func removalMessage(s *scope, fallback string) string {
	for i := range s.machines {
		c := conditions.Get(&s.machines[i], clusterv1.MachineDeletingCondition)
		if c == nil || c.Status != metav1.ConditionTrue {
			continue
		}
		switch c.Reason {
		case clusterv1.MachineDeletingDrainingNodeReason:
			if m := budgetName.FindStringSubmatch(c.Message); m != nil {
				return fmt.Sprintf("moving pods off a node: the PodDisruptionBudget %s does not allow it yet; the node goes after 10 minutes at the latest", m[1])
			}
			return "moving pods off a node"
		case clusterv1.MachineDeletingWaitingForVolumeDetachReason:
			return "waiting for volumes to be detached from a node"
		}
	}
	return fallback
}
