package cluster

import (
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
)

// Messages are what customers read. Texts of Cluster API never get into them: only its conditions' types and reasons do,
// through the tables here. Our provider's own messages are written for people and pass.

// providerReasons translates the reasons of the provider's conditions.
var providerReasons = map[string]string{
	"Unauthorized":       mkev1.CloudUnauthorizedReason,
	"CredentialsMissing": mkev1.CloudUnauthorizedReason,
	"RateLimited":        mkev1.CloudUnavailableReason,
	"Unavailable":        mkev1.CloudUnavailableReason,
	"Failed":             mkev1.CloudRefusedReason,

	infrav1.InstanceCreationFailedReason: mkev1.CloudRefusedReason, // if the cloud could not be reached, that is looked at first
}

// credentialProblem is why there is no credential.
func credentialProblem(s *scope) (state, bool) {
	switch err := s.credentialErr; {
	case err == nil:
		return state{}, false
	case mgc.IsUnauthorized(err):
		return state{mkev1.CloudUnauthorizedReason, "waiting for the cloud: it refuses to make credentials for the cluster"}, true
	case mgc.IsInvalid(err):
		return state{mkev1.CloudRefusedReason, "the cloud cannot make credentials for the cluster"}, true
	case mgc.IsRateLimited(err):
		return state{mkev1.CloudUnavailableReason, "waiting for the cloud: it asks to slow down"}, true
	default:
		return state{mkev1.CloudUnavailableReason, "waiting for the cloud: it does not answer"}, true
	}
}

// removalProblem is why load balancers or volumes cannot be removed.
func removalProblem(err error) state {
	switch {
	case mgc.IsUnauthorized(err):
		return state{mkev1.CloudUnauthorizedReason, "waiting for the cloud: it refuses to remove the cluster's load balancers and volumes"}
	case mgc.IsRateLimited(err):
		return state{mkev1.CloudUnavailableReason, "waiting for the cloud, which asks to slow down, to remove load balancers and volumes"}
	}
	return state{mkev1.CloudUnavailableReason, "waiting for the cloud, which does not answer, to remove load balancers and volumes"}
}

// cloudProblem is what the cloud says against the cluster's objects.
func cloudProblem(s *scope) (state, bool) {
	if problem, found := credentialProblem(s); found {
		return problem, true
	}
	if s.removalErr != nil {
		return removalProblem(s.removalErr), true
	}
	if s.infra != nil {
		for _, c := range []string{infrav1.CloudReachableCondition, infrav1.SecurityGroupsReadyCondition, infrav1.LoadBalancerReadyCondition} {
			if problem, found := providerProblem(s.infra, c); found {
				return problem, true
			}
		}
	}
	for i := range s.instances {
		for _, c := range []string{infrav1.CloudReachableCondition, infrav1.InstanceReadyCondition} {
			if problem, found := providerProblem(&s.instances[i], c); found {
				return problem, true
			}
		}
	}
	return state{}, false
}

func providerProblem(from conditions.Getter, condition string) (state, bool) {
	reason, known := providerReasons[conditions.GetReason(from, condition)]
	if !known || !conditions.IsFalse(from, condition) {
		return state{}, false
	}
	return state{reason, conditions.GetMessage(from, condition)}, true
}

// controlPlaneMachineMessage says how far the first control plane machine is.
func controlPlaneMachineMessage(s *scope) string {
	switch {
	case s.infra == nil || len(s.machines) == 0:
		return "waiting for the control plane machine to be created"
	case !anyProvisioned(s.machines):
		return "waiting for the control plane machine to boot"
	}
	return "waiting for the API server to answer"
}

// removalMessage says what Cluster API is removing, from the reason of the Cluster's condition.
func removalMessage(s *scope) string {
	if s.cluster == nil {
		return "removing the cluster"
	}
	switch conditions.GetReason(s.cluster, clusterv1.ClusterDeletingCondition) {
	case clusterv1.ClusterDeletingWaitingForWorkersDeletionReason:
		return "removing the nodes"
	case clusterv1.ClusterDeletingWaitingForControlPlaneDeletionReason:
		return "removing the control plane"
	case clusterv1.ClusterDeletingWaitingForInfrastructureDeletionReason:
		return "removing the load balancer and the network rules"
	}
	return "removing the cluster"
}
