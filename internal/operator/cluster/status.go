package cluster

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/operator/addon"
	"magalu.cloud/mke/internal/operator/apply"
)

// steps of a creation, in order. ClusterReady is true when all of them are.
var steps = []struct {
	condition string
	observe   func(*scope) state
}{
	{mkev1.CredentialsReadyCondition, credentialsState},
	{mkev1.InfrastructureReadyCondition, infrastructureState},
	{mkev1.APIServerReadyCondition, apiServerState},
	{mkev1.AddonsReadyCondition, addonsState},
	{mkev1.ControlPlaneReadyCondition, controlPlaneState},
}

var ownedConditions = []string{
	mkev1.CredentialsReadyCondition, mkev1.InfrastructureReadyCondition, mkev1.APIServerReadyCondition, mkev1.AddonsReadyCondition,
	mkev1.ControlPlaneReadyCondition, mkev1.ClusterReadyCondition, mkev1.DeletingCondition,
}

// state of a step. It is reached when reason is ReadyReason; message is for people.
type state struct{ reason, message string }

var ready = state{reason: mkev1.ReadyReason}

func waiting(message string) state { return state{mkev1.WaitingReason, message} }

// summarize turns what was seen into conditions, phase and message.
func summarize(s *scope) {
	status := &s.mgc.Status
	if s.cluster != nil && s.cluster.Spec.ControlPlaneEndpoint.IsValid() {
		e := s.cluster.Spec.ControlPlaneEndpoint
		status.ControlPlaneEndpoint = mkev1.Endpoint{Host: e.Host, Port: e.Port}
	}
	if initialized(s) && s.controlPlane.Status.Version != "" {
		status.Version = s.controlPlane.Status.Version
	}
	if !s.mgc.DeletionTimestamp.IsZero() {
		summarizeDeletion(s)
		return
	}
	worst := ready
	for _, step := range steps {
		st := step.observe(s)
		set(s.mgc, step.condition, st)
		if worst == ready {
			worst = st
		}
	}
	set(s.mgc, mkev1.ClusterReadyCondition, worst)
	status.Message = worst.message
	switch {
	case worst == ready:
		status.Phase, status.Message = mkev1.ClusterRunning, "ready"
		if waitsForCNI(s) {
			status.Message = "ready; its nodes wait for your network plugin"
		}
	case status.Phase == mkev1.ClusterRunning:
		// It stays usable; condition and message tell what is wrong.
	case worst.reason == mkev1.CloudRefusedReason:
		status.Phase = mkev1.ClusterFailed
	case s.cluster == nil:
		status.Phase = mkev1.ClusterPending
	default:
		status.Phase = mkev1.ClusterProvisioning
	}
}

func summarizeDeletion(s *scope) {
	s.mgc.Status.Phase = mkev1.ClusterDeleting
	st := state{mkev1.DeletingReason, s.removing}
	if problem, found := cloudProblem(s); found {
		st = problem
	}
	if st.message == "" {
		st.message = "removing the cluster"
	}
	s.mgc.Status.Message = st.message
	conditions.Set(s.mgc, metav1.Condition{Type: mkev1.DeletingCondition, Status: metav1.ConditionTrue, Reason: st.reason, Message: st.message})
	conditions.Set(s.mgc, metav1.Condition{Type: mkev1.ClusterReadyCondition, Status: metav1.ConditionFalse, Reason: mkev1.DeletingReason, Message: st.message})
}

func set(c *mkev1.MGCCluster, condition string, st state) {
	status := metav1.ConditionFalse
	if st.reason == mkev1.ReadyReason {
		status = metav1.ConditionTrue
	}
	conditions.Set(c, metav1.Condition{Type: condition, Status: status, Reason: st.reason, Message: st.message})
}

func initialized(s *scope) bool {
	return s.controlPlane != nil && ptr.Deref(s.controlPlane.Status.Initialization.ControlPlaneInitialized, false)
}

func credentialsState(s *scope) state {
	if problem, found := credentialProblem(s); found {
		return problem
	}
	return ready
}

func infrastructureState(s *scope) state {
	if s.infra == nil {
		return waiting("preparing the cluster")
	}
	if ptr.Deref(s.infra.Status.Initialization.Provisioned, false) {
		return ready
	}
	if problem, found := cloudProblem(s); found {
		return problem
	}
	for _, wait := range []struct{ condition, message string }{
		{infrav1.SecurityGroupsReadyCondition, "creating the network rules"},
		{infrav1.LoadBalancerReadyCondition, "creating the load balancer of the API server"},
	} {
		if conditions.IsFalse(s.infra, wait.condition) {
			return waiting(wait.message)
		}
	}
	return waiting("creating the load balancer of the API server")
}

func apiServerState(s *scope) state {
	answeredBefore := conditions.IsTrue(s.mgc, mkev1.APIServerReadyCondition)
	if s.cluster != nil && initialized(s) && conditions.IsFalse(s.cluster, clusterv1.ClusterRemoteConnectionProbeCondition) && !s.apiAnswered {
		// Known to have worked: Cluster API probes it all the time.
		if answeredBefore || s.mgc.Status.Phase == mkev1.ClusterRunning {
			return state{mkev1.UnhealthyReason, "the API server does not answer"}
		}
	}
	if s.apiAnswered || answeredBefore || initialized(s) {
		return ready
	}
	if problem, found := cloudProblem(s); found {
		return problem
	}
	return waiting(controlPlaneMachineMessage(s))
}

// addonsState asks only for the essential addons: the others may come while the cluster is used.
func addonsState(s *scope) state {
	missing, revisions := "", []string{}
	for _, entry := range catalog.Addons() {
		if !entry.Essential || !addon.Enabled(s.mgc, entry, "") {
			continue
		}
		i := slices.IndexFunc(s.addons, func(a mkev1.MGCAddon) bool { return a.Name == entry.Name })
		if i < 0 || !conditions.IsTrue(&s.addons[i], mkev1.AddonAppliedCondition) {
			missing = entry.Name
			continue
		}
		revisions = append(revisions, s.addons[i].Status.Revision)
	}
	switch {
	case missing == "":
		s.mgc.Status.AddonsRevision = apply.Digest(revisions)
		return ready
	case s.mgc.Status.AddonsRevision != "":
		return state{mkev1.UnhealthyReason, "repairing the addon " + missing}
	}
	return waiting("installing the cluster's network")
}

// nodeUp says whether a machine has become a node of the cluster. Without a network plugin it cannot be Ready.
func nodeUp(s *scope, m *clusterv1.Machine) bool {
	return conditions.IsTrue(m, clusterv1.MachineNodeReadyCondition) || s.mgc.Spec.CNI == mkev1.CNINone && m.Status.NodeRef.IsDefined()
}

func waitsForCNI(s *scope) bool {
	return s.mgc.Spec.CNI == mkev1.CNINone && slices.ContainsFunc(s.machines, func(m clusterv1.Machine) bool {
		return !conditions.IsTrue(&m, clusterv1.MachineNodeReadyCondition)
	})
}

func controlPlaneState(s *scope) state {
	wanted := int(max(1, s.mgc.Spec.ControlPlane.Replicas))
	joined, updating := 0, false
	for i := range s.machines {
		m := &s.machines[i]
		if nodeUp(s, m) {
			joined++
		}
		updating = updating || m.Spec.Version != s.mgc.Spec.KubernetesVersion
	}
	for i := range s.instances {
		updating = updating || s.instances[i].Spec.MachineType != s.mgc.Spec.ControlPlane.MachineType
	}
	switch {
	case updating && initialized(s):
		if problem, found := cloudProblem(s); found {
			return problem
		}
		return state{mkev1.UpdatingReason, "updating the control plane"}
	case joined >= wanted && initialized(s):
		return ready
	case s.mgc.Status.Phase == mkev1.ClusterRunning:
		return state{mkev1.UnhealthyReason, "waiting for the control plane to become healthy again"}
	}
	return waiting("waiting for the control plane node to become ready")
}
