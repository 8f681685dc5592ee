package machine

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/writeback"
)

// reconcileProvisioned fills what Cluster API reads, once the VM runs.
func (r *Reconciler) reconcileProvisioned(_ context.Context, s *scope) error {
	if s.instance == nil || s.instance.State != mgc.InstanceRunning {
		return nil
	}
	address := s.instance.PrivateIPv4()
	if address == "" {
		s.waiting = !provisioned(s.mgk)
		return nil
	}
	s.mgk.Status.Addresses = []clusterv1.MachineAddress{
		{Type: clusterv1.MachineInternalIP, Address: address},
		{Type: clusterv1.MachineHostName, Address: s.instance.Name},
		{Type: clusterv1.MachineInternalDNS, Address: s.instance.Name},
	}
	if conditions.IsTrue(s.mgk, infrav1.InstanceReadyCondition) {
		s.mgk.Spec.ProviderID = cloud.ProviderID(s.instance.AvailabilityZone, s.instance.ID)
		s.mgk.Status.Initialization.Provisioned = ptr.To(true)
	}
	return nil
}

func provisioned(m *infrav1.MGKMachine) bool {
	return ptr.Deref(m.Status.Initialization.Provisioned, false)
}

func (s *scope) setCondition(conditionType string, status metav1.ConditionStatus, reason, message string) {
	conditions.Set(s.mgk, metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: message})
}

// creationFailed records why there is no VM; err passes through.
func (s *scope) creationFailed(err error) error {
	s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, infrav1.InstanceCreationFailedReason, "the VM cannot be made: "+cloud.Message(err))
	return err
}

var ownConditions = []string{infrav1.InstanceReadyCondition, infrav1.LoadBalancerTargetCondition, infrav1.CloudReachableCondition}

// summarize sets Ready from the other conditions; only control planes are targets.
func summarize(s *scope) {
	opts := []conditions.SummaryOption{conditions.ForConditionTypes(ownConditions)}
	if !s.controlPlane() {
		opts = append(opts, conditions.IgnoreTypesIfMissing{infrav1.LoadBalancerTargetCondition})
	}
	_ = conditions.SetSummaryCondition(s.mgk, s.mgk, clusterv1.ReadyCondition, opts...)
}

func patchMachine(ctx context.Context, helper *writeback.Helper, m *infrav1.MGKMachine) error {
	return helper.Patch(ctx, m, patch.WithOwnedConditions{Conditions: append([]string{clusterv1.ReadyCondition, clusterv1.PausedCondition}, ownConditions...)})
}

func removeFinalizer(m *infrav1.MGKMachine) {
	controllerutil.RemoveFinalizer(m, infrav1.MachineFinalizer)
}

// loadBalancerChanged lets through MGKClusters with another load balancer.
func loadBalancerChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*infrav1.MGKCluster)
			after, ok2 := e.ObjectNew.(*infrav1.MGKCluster)
			return ok1 && ok2 && before.Status.LoadBalancerID != after.Status.LoadBalancerID
		},
	}
}

// nodeFailed is true for a machine that was a Node and is no ready one now.
func nodeFailed(m *clusterv1.Machine) bool {
	return m.Status.NodeRef.IsDefined() && !conditions.IsTrue(m, clusterv1.MachineNodeReadyCondition)
}

// nodeChanged lets through Machines whose Node has become ready or unready, or is gone: a reason to look at the VM.
func nodeChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, ok1 := e.ObjectOld.(*clusterv1.Machine)
			after, ok2 := e.ObjectNew.(*clusterv1.Machine)
			if !ok1 || !ok2 || !nodeFailed(after) {
				return ok1 && ok2 && nodeFailed(before)
			}
			return !nodeFailed(before) ||
				conditions.GetReason(before, clusterv1.MachineNodeReadyCondition) != conditions.GetReason(after, clusterv1.MachineNodeReadyCondition)
		},
	}
}
