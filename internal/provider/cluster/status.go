package cluster

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"k8s.io/utils/ptr"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/writeback"
)

// settledRecheck is the time between two looks at a finished cluster, to notice what others changed in the cloud.
const settledRecheck = 10 * time.Minute

// reconcileProvisioned fills what Cluster API reads, once everything is there.
func (r *Reconciler) reconcileProvisioned(_ context.Context, s *scope) error {
	status := &s.cluster.Status
	status.FailureDomains = nil
	for _, sn := range s.cluster.Spec.Subnets {
		status.FailureDomains = append(status.FailureDomains, clusterv1.FailureDomain{Name: sn.Zone, ControlPlane: ptr.To(true)})
	}
	if conditions.IsTrue(s.cluster, infrav1.LoadBalancerReadyCondition) && conditions.IsTrue(s.cluster, infrav1.SecurityGroupsReadyCondition) {
		status.Initialization.Provisioned = ptr.To(true)
	}
	return nil
}

func provisioned(c *infrav1.MGKCluster) bool {
	return ptr.Deref(c.Status.Initialization.Provisioned, false)
}

func (s *scope) setCondition(conditionType string, status metav1.ConditionStatus, reason, message string) {
	conditions.Set(s.cluster, metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: message})
}

// loadBalancerFailed records err unless the load balancer was ready: an error of the cloud does not make it unready.
func (s *scope) loadBalancerFailed(err error) error {
	return s.failed(infrav1.LoadBalancerReadyCondition, "the API load balancer cannot be made: ", err)
}

func (s *scope) securityGroupsFailed(err error) error {
	return s.failed(infrav1.SecurityGroupsReadyCondition, "the security groups cannot be made: ", err)
}

func (s *scope) failed(conditionType, prefix string, err error) error {
	if !provisioned(s.cluster) {
		s.setCondition(conditionType, metav1.ConditionFalse, "Failed", prefix+cloud.Message(err))
	}
	return err
}

var ownConditions = []string{infrav1.LoadBalancerReadyCondition, infrav1.SecurityGroupsReadyCondition, infrav1.CloudReachableCondition}

// summarize sets Ready from the other conditions.
func summarize(c *infrav1.MGKCluster) {
	_ = conditions.SetSummaryCondition(c, c, clusterv1.ReadyCondition, conditions.ForConditionTypes(ownConditions))
}

func patchCluster(ctx context.Context, helper *writeback.Helper, c *infrav1.MGKCluster) error {
	return helper.Patch(ctx, c, patch.WithOwnedConditions{Conditions: append([]string{clusterv1.ReadyCondition, clusterv1.PausedCondition}, ownConditions...)})
}

// onlyDeletions lets through the end of an object.
func onlyDeletions() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}
