package cluster

import (
	"errors"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mgc"
)

func isFalse(obj conditions.Setter, condition, reason, message string) {
	conditions.Set(obj, metav1.Condition{Type: condition, Status: metav1.ConditionFalse, Reason: reason, Message: message})
}

func isTrue(obj conditions.Setter, condition string) {
	conditions.Set(obj, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: "Test"})
}

// stage builds the world up to a stage of a creation; each contains the ones before it.
func stage(n int) *scope {
	c := testCluster()
	c.Spec.ControlPlane.Replicas = 1
	s := &scope{mgc: c}
	if n >= 1 { // objects applied
		s.cluster, s.infra, s.controlPlane = &clusterv1.Cluster{}, &infrav1.MGKCluster{}, &controlplanev1.KubeadmControlPlane{}
	}
	if n >= 2 { // infrastructure made
		s.infra.Status.Initialization.Provisioned = ptr.To(true)
		s.cluster.Spec.ControlPlaneEndpoint = clusterv1.APIEndpoint{Host: "198.18.0.7", Port: 6443}
	}
	if n >= 3 { // machine exists
		s.machines = []clusterv1.Machine{{Spec: clusterv1.MachineSpec{Version: "v1.34.2"}}}
	}
	if n >= 4 { // VM runs
		isTrue(&s.machines[0], clusterv1.MachineInfrastructureReadyCondition)
	}
	if n >= 5 { // API server answers
		s.apiAnswered = true
	}
	if n >= 6 { // addons are in
		for _, name := range []string{catalog.KubeProxy, catalog.Calico, catalog.CoreDNS} {
			a := mkev1.MGCAddon{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: mkev1.MGCAddonStatus{Revision: "1"}}
			isTrue(&a, mkev1.AddonAppliedCondition)
			s.addons = append(s.addons, a)
		}
	}
	if n >= 7 { // node is ready
		s.controlPlane.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
		s.controlPlane.Status.Version = "v1.34.2"
		isTrue(&s.machines[0], clusterv1.MachineNodeReadyCondition)
	}
	return s
}

func TestCreationClimbsThroughItsPhases(t *testing.T) {
	for n, want := range []struct {
		phase   mkev1.ClusterPhase
		message string
		done    string // the last condition that is true
	}{
		{mkev1.ClusterPending, "preparing the cluster", mkev1.CredentialsReadyCondition},
		{mkev1.ClusterProvisioning, "creating the load balancer of the API server", mkev1.CredentialsReadyCondition},
		{mkev1.ClusterProvisioning, "waiting for the control plane machine to be created", mkev1.InfrastructureReadyCondition},
		{mkev1.ClusterProvisioning, "waiting for the control plane machine to boot", mkev1.InfrastructureReadyCondition},
		{mkev1.ClusterProvisioning, "waiting for the API server to answer", mkev1.InfrastructureReadyCondition},
		{mkev1.ClusterProvisioning, "installing the cluster's network", mkev1.APIServerReadyCondition},
		{mkev1.ClusterProvisioning, "waiting for the control plane node to become ready", mkev1.AddonsReadyCondition},
		{mkev1.ClusterRunning, "ready", mkev1.ClusterReadyCondition},
	} {
		s := stage(n)
		summarize(s)
		if got := s.mgc.Status; got.Phase != want.phase || got.Message != want.message {
			t.Errorf("stage %d: %s %q, want %s %q", n, got.Phase, got.Message, want.phase, want.message)
		}
		done := ""
		for _, c := range ownedConditions {
			if conditions.IsTrue(s.mgc, c) {
				done = c
			}
		}
		if done != want.done {
			t.Errorf("stage %d: last true condition is %s, want %s", n, done, want.done)
		}
	}
}

func TestClusterWithoutNetworkPlugin(t *testing.T) {
	s := stage(7)
	s.mgc.Spec.CNI = mkev1.CNINone
	s.addons = slices.DeleteFunc(s.addons, func(a mkev1.MGCAddon) bool { return a.Name == catalog.Calico })
	isFalse(&s.machines[0], clusterv1.MachineNodeReadyCondition, "Test", "")
	for _, want := range []string{"", "ready; its nodes wait for your network plugin", "ready"} {
		switch want {
		case "": // the machine is not a node yet
		case "ready":
			isTrue(&s.machines[0], clusterv1.MachineNodeReadyCondition)
		default:
			s.machines[0].Status.NodeRef.Name = "node"
		}
		summarize(s)
		if running := s.mgc.Status.Phase == mkev1.ClusterRunning; running != (want != "") || running && s.mgc.Status.Message != want {
			t.Errorf("%s %q, want %q", s.mgc.Status.Phase, s.mgc.Status.Message, want)
		}
	}
}

func TestProblemsInPlainWords(t *testing.T) {
	unauthorized := &mgc.Error{StatusCode: 403, Message: "secret detail"}
	for name, tt := range map[string]struct {
		stage   int
		change  func(*scope)
		phase   mkev1.ClusterPhase
		reason  string
		message string
	}{
		"no credential": {0, func(s *scope) { s.credentialErr = unauthorized }, mkev1.ClusterPending, mkev1.CloudUnauthorizedReason,
			"waiting for the cloud: it refuses to make credentials for the cluster"},
		"cloud is down": {0, func(s *scope) { s.credentialErr = errors.New("dial tcp 10.0.0.1: refused") }, mkev1.ClusterPending, mkev1.CloudUnavailableReason,
			"waiting for the cloud: it does not answer"},
		"cloud answers 503": {1, func(s *scope) {
			isFalse(s.infra, infrav1.CloudReachableCondition, "Unavailable", "waiting for the cloud: 503 Service Unavailable")
		}, mkev1.ClusterProvisioning, mkev1.CloudUnavailableReason, "waiting for the cloud: 503 Service Unavailable"},
		"load balancer quota": {1, func(s *scope) {
			isFalse(s.infra, infrav1.LoadBalancerReadyCondition, "Failed", "the API load balancer cannot be made: quota")
		}, mkev1.ClusterFailed, mkev1.CloudRefusedReason, "the API load balancer cannot be made: quota"},
		"VM quota": {3, func(s *scope) {
			s.instances = make([]infrav1.MGKMachine, 1)
			isFalse(&s.instances[0], infrav1.InstanceReadyCondition, infrav1.InstanceCreationFailedReason, "the VM cannot be made: quota")
		}, mkev1.ClusterFailed, mkev1.CloudRefusedReason, "the VM cannot be made: quota"},
		"API server gone after running": {7, func(s *scope) {
			s.mgc.Status.Phase, s.apiAnswered = mkev1.ClusterRunning, false
			isFalse(s.cluster, clusterv1.ClusterRemoteConnectionProbeCondition, clusterv1.ClusterRemoteConnectionProbeFailedReason, "raw text")
		}, mkev1.ClusterRunning, mkev1.UnhealthyReason, "the API server does not answer"},
		"control plane update": {7, func(s *scope) {
			s.mgc.Status.Phase, s.mgc.Spec.KubernetesVersion = mkev1.ClusterRunning, "v1.35.4"
		}, mkev1.ClusterRunning, mkev1.UpdatingReason, "updating the control plane"},
		"control plane grows": {7, func(s *scope) {
			s.mgc.Status.Phase = mkev1.ClusterRunning
			s.instances = []infrav1.MGKMachine{{Spec: infrav1.MGKMachineSpec{MachineType: "BV2-4-40"}}, {Spec: infrav1.MGKMachineSpec{MachineType: "BV8-32-40"}}}
			s.mgc.Spec.ControlPlane.MachineType = "BV8-32-40"
		}, mkev1.ClusterRunning, mkev1.UpdatingReason, "updating the control plane"},
		"control plane cannot grow": {7, func(s *scope) {
			s.mgc.Status.Phase = mkev1.ClusterRunning
			s.instances = []infrav1.MGKMachine{{Spec: infrav1.MGKMachineSpec{MachineType: "BV2-4-40"}}, {Spec: infrav1.MGKMachineSpec{MachineType: "BV8-32-40"}}}
			isFalse(&s.instances[1], infrav1.InstanceReadyCondition, infrav1.InstanceCreationFailedReason, "the VM cannot be made: quota")
			s.mgc.Spec.ControlPlane.MachineType = "BV8-32-40"
		}, mkev1.ClusterRunning, mkev1.CloudRefusedReason, "the VM cannot be made: quota"},
	} {
		t.Run(name, func(t *testing.T) {
			s := stage(tt.stage)
			tt.change(s)
			summarize(s)
			got := conditions.Get(s.mgc, mkev1.ClusterReadyCondition)
			if s.mgc.Status.Phase != tt.phase || s.mgc.Status.Message != tt.message || got.Reason != tt.reason || got.Status != metav1.ConditionFalse {
				t.Errorf("got %s %q (%s)", s.mgc.Status.Phase, s.mgc.Status.Message, got.Reason)
			}
		})
	}
}

func TestDeletionMessages(t *testing.T) {
	now := metav1.Now()
	for reason, want := range map[string]string{
		"": "removing the cluster",
		clusterv1.ClusterDeletingWaitingForWorkersDeletionReason:        "removing the nodes",
		clusterv1.ClusterDeletingWaitingForControlPlaneDeletionReason:   "removing the control plane",
		clusterv1.ClusterDeletingWaitingForInfrastructureDeletionReason: "removing the load balancer and the network rules",
	} {
		s := stage(7)
		s.mgc.DeletionTimestamp = &now
		if reason != "" {
			conditions.Set(s.cluster, metav1.Condition{Type: clusterv1.ClusterDeletingCondition, Status: metav1.ConditionTrue, Reason: reason, Message: "* Machine cluster.x-k8s.io/m"})
		}
		s.removing = removalMessage(s)
		summarize(s)
		if s.mgc.Status.Message != want || s.mgc.Status.Phase != mkev1.ClusterDeleting || !conditions.IsTrue(s.mgc, mkev1.DeletingCondition) {
			t.Errorf("%s: %s %q, want %q", reason, s.mgc.Status.Phase, s.mgc.Status.Message, want)
		}
		isFalse(s.infra, infrav1.CloudReachableCondition, "Unauthorized", "the cloud refuses the cluster's API key: 401")
		summarize(s)
		if got := s.mgc.Status.Message; !strings.Contains(got, "refuses") {
			t.Errorf("a broken credential is hidden by %q", got)
		}
	}
}
