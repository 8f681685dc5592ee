package nodepool

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/golden"
)

func testScope() *scope {
	return &scope{
		mgc: &mkev1.MGCCluster{
			ObjectMeta: metav1.ObjectMeta{Namespace: "cluster-0c4f", Name: "meu-cluster"},
			Spec: mkev1.MGCClusterSpec{ClusterID: "0c4f", Network: mkev1.Network{VPCID: "vpc", Subnets: []mkev1.Subnet{
				{ID: "sn-a", Zone: "br-se1-a", CIDR: "172.26.0.0/20"}, {ID: "sn-b", Zone: "br-se1-b", CIDR: "172.26.16.0/20"},
			}}},
		},
		cluster: &clusterv1.Cluster{Status: clusterv1.ClusterStatus{Initialization: clusterv1.ClusterInitializationStatus{ControlPlaneInitialized: ptr.To(true)}}},
		pool: &mkev1.MGCNodePool{
			ObjectMeta: metav1.ObjectMeta{Namespace: "cluster-0c4f", Name: "nodepool01"},
			Spec: mkev1.MGCNodePoolSpec{
				ClusterRef: mkev1.ClusterReference{Name: "meu-cluster"}, NodePoolID: "77aa", InitialReplicas: 2, KubernetesVersion: "v1.34.2",
				MachineType: "BV4-8-40", MaxPodsPerNode: 32,
				Labels: map[string]string{"team": "blue", "cluster.x-k8s.io/cluster-name": "stolen"},
				Taints: []corev1.Taint{{Key: "gpu", Value: "yes", Effect: corev1.TaintEffectNoSchedule}},
			},
		},
	}
}

func TestObjects(t *testing.T) {
	s := testScope()
	infra, bootstrap := desiredMachineTemplate(s, "cloud-mke-node-{version}"), desiredBootstrapTemplate(s)
	golden.Match(t, "machine-template", infra)
	golden.Match(t, "bootstrap-template", bootstrap)
	golden.Match(t, "machine-deployment", desiredDeployment(s, infra, bootstrap))
	golden.Match(t, "health-check", desiredHealthCheck(s, 0))

	s.pool.Spec.AutoScale, s.pool.Spec.PricePerHour = &mkev1.AutoScale{MinReplicas: 0, MaxReplicas: 9}, "0.52"
	golden.Match(t, "machine-deployment-autoscaled-new", desiredDeployment(s, infra, bootstrap))
	s.deployment = &clusterv1.MachineDeployment{Spec: clusterv1.MachineDeploymentSpec{Replicas: ptr.To[int32](5)}}
	if d := desiredDeployment(s, infra, bootstrap); d.Spec.Replicas != nil {
		t.Errorf("replicas of an autoscaled pool would be applied: %d", *d.Spec.Replicas)
	}
}

func TestWhatRollsNodes(t *testing.T) {
	refs := func(change func(*mkev1.MGCNodePoolSpec)) [3]string {
		s := testScope()
		change(&s.pool.Spec)
		infra, bootstrap := desiredMachineTemplate(s, "cloud-mke-node-{version}"), desiredBootstrapTemplate(s)
		return [3]string{infra.Name, bootstrap.Name, desiredDeployment(s, infra, bootstrap).Spec.Template.Spec.Version}
	}
	same := refs(func(*mkev1.MGCNodePoolSpec) {})
	for what, tt := range map[string]struct {
		change func(*mkev1.MGCNodePoolSpec)
		rolls  bool
	}{
		"labels":       {func(p *mkev1.MGCNodePoolSpec) { p.Labels = map[string]string{"team": "red"} }, false},
		"taints":       {func(p *mkev1.MGCNodePoolSpec) { p.Taints = nil }, false},
		"replicas":     {func(p *mkev1.MGCNodePoolSpec) { p.Replicas = ptr.To[int32](9) }, false},
		"bounds":       {func(p *mkev1.MGCNodePoolSpec) { p.AutoScale = &mkev1.AutoScale{MaxReplicas: 9} }, false},
		"machine type": {func(p *mkev1.MGCNodePoolSpec) { p.MachineType = "BV8-16-40" }, true},
		"version":      {func(p *mkev1.MGCNodePoolSpec) { p.KubernetesVersion = "v1.35.4" }, true},
		"max pods":     {func(p *mkev1.MGCNodePoolSpec) { p.MaxPodsPerNode = 64 }, true},
		"subnets":      {func(p *mkev1.MGCNodePoolSpec) { p.Subnets = []mkev1.Subnet{{ID: "sn-a"}} }, true},
	} {
		if got := refs(tt.change) != same; got != tt.rolls {
			t.Errorf("%s: rolls = %v, want %v", what, got, tt.rolls)
		}
	}
}

func TestReplicas(t *testing.T) {
	auto := &mkev1.AutoScale{MinReplicas: 1, MaxReplicas: 5}
	for name, tt := range map[string]struct {
		replicas  *int32
		autoScale *mkev1.AutoScale
		live      *int32
		revision  int64  // in which replicas was set
		resized   string // what the machines were resized for
		want      int32
	}{
		"at first":                         {nil, nil, nil, 0, "", 2},
		"set":                              {ptr.To[int32](3), nil, ptr.To[int32](2), 2, "", 3},
		"set to zero":                      {ptr.To[int32](0), nil, ptr.To[int32](2), 2, "", 0},
		"autoscaled at first":              {nil, auto, nil, 0, "", 2},
		"autoscaled keeps what is there":   {nil, auto, ptr.To[int32](4), 0, "", 4},
		"autoscaled above the bounds":      {nil, auto, ptr.To[int32](7), 0, "", 5},
		"autoscaled below the bounds":      {nil, auto, ptr.To[int32](0), 0, "", 1},
		"autoscaled and set":               {ptr.To[int32](3), auto, ptr.To[int32](4), 7, "", 3},
		"autoscaled and set again":         {ptr.To[int32](3), auto, ptr.To[int32](4), 7, "5", 3},
		"autoscaled and set outside":       {ptr.To[int32](9), auto, ptr.To[int32](4), 7, "", 5},
		"autoscaled after it has been set": {ptr.To[int32](3), auto, ptr.To[int32](4), 7, "7", 4},
	} {
		s := testScope()
		s.pool.Spec.Replicas, s.pool.Spec.AutoScale, s.pool.Spec.ReplicasRevision = tt.replicas, tt.autoScale, tt.revision
		if tt.live != nil {
			s.deployment = &clusterv1.MachineDeployment{Spec: clusterv1.MachineDeploymentSpec{Replicas: tt.live}}
			s.deployment.Annotations = map[string]string{mkev1.ReplicasRevisionAnnotation: tt.resized}
		}
		if got := replicas(s); got != tt.want {
			t.Errorf("%s: %d, want %d", name, got, tt.want)
		}
	}
}

func machines(ready ...bool) []clusterv1.Machine {
	out := make([]clusterv1.Machine, len(ready))
	for i, r := range ready {
		status := metav1.ConditionFalse
		if r {
			status = metav1.ConditionTrue
		}
		out[i].Status.NodeRef.Name = "node"
		conditions.Set(&out[i], metav1.Condition{Type: clusterv1.MachineNodeReadyCondition, Status: status, Reason: "Test"})
	}
	return out
}

func TestPhases(t *testing.T) {
	now := metav1.Now()
	deleting := func(s *scope, reason, message string) {
		s.pool.DeletionTimestamp = &now
		s.machines = machines(true)
		conditions.Set(&s.machines[0], metav1.Condition{Type: clusterv1.MachineDeletingCondition, Status: metav1.ConditionTrue, Reason: reason, Message: message})
	}
	for name, tt := range map[string]struct {
		change  func(*scope)
		phase   mkev1.NodePoolPhase
		message string
	}{
		"no cluster yet":       {func(s *scope) { s.cluster = nil }, mkev1.NodePoolPending, "waiting for the cluster"},
		"control plane starts": {func(s *scope) { s.cluster.Status.Initialization.ControlPlaneInitialized = nil }, mkev1.NodePoolPending, "waiting for the control plane"},
		"no machines yet":      {func(*scope) {}, mkev1.NodePoolScalingUp, "adding nodes: 0 of 2 are ready"},
		"one is ready":         {func(s *scope) { s.machines = machines(true, false) }, mkev1.NodePoolScalingUp, "adding nodes: 1 of 2 are ready"},
		"all are ready":        {func(s *scope) { s.machines = machines(true, true) }, mkev1.NodePoolRunning, "ready"},
		"no network plugin": {func(s *scope) { s.mgc.Spec.CNI, s.machines = mkev1.CNINone, machines(true, false) }, mkev1.NodePoolRunning,
			"1 of 2 nodes are ready; nodes need your network plugin"},
		"empty on purpose":       {func(s *scope) { s.pool.Spec.Replicas = ptr.To[int32](0) }, mkev1.NodePoolRunning, "ready"},
		"too many":               {func(s *scope) { s.machines = machines(true, true, true) }, mkev1.NodePoolScalingDown, "removing nodes: 3 left, 2 wanted"},
		"node fails later":       {func(s *scope) { s.machines, s.pool.Status.Phase = machines(true, false), mkev1.NodePoolRunning }, mkev1.NodePoolRunning, "1 of 2 nodes are ready"},
		"machine is being added": {func(s *scope) { s.machines, s.pool.Status.Phase = machines(true), mkev1.NodePoolRunning }, mkev1.NodePoolScalingUp, "adding nodes: 1 of 2 are ready"},
		"old machines": {func(s *scope) {
			s.machines = machines(true, true, true)
			conditions.Set(&s.machines[0], metav1.Condition{Type: clusterv1.MachineUpToDateCondition, Status: metav1.ConditionFalse, Reason: "Test"})
		}, mkev1.NodePoolScalingUp, "replacing nodes: 1 to go"},
		"quota": {func(s *scope) {
			s.instances = make([]infrav1.MGKMachine, 1)
			conditions.Set(&s.instances[0], metav1.Condition{Type: infrav1.InstanceReadyCondition, Status: metav1.ConditionFalse, Reason: "Failed", Message: "the VM cannot be made: quota"})
		}, mkev1.NodePoolFailed, "the VM cannot be made: quota"},
		"the cloud refuses": {func(s *scope) {
			s.instances = make([]infrav1.MGKMachine, 1)
			conditions.Set(&s.instances[0], metav1.Condition{Type: infrav1.CloudReachableCondition, Status: metav1.ConditionTrue, Reason: "Reachable"})
			conditions.Set(&s.instances[0], metav1.Condition{Type: infrav1.InstanceReadyCondition, Status: metav1.ConditionFalse,
				Reason: infrav1.InstanceCreationFailedReason, Message: "the VM cannot be made: 422 quota"})
		}, mkev1.NodePoolFailed, "the VM cannot be made: 422 quota"},
		"deleting": {func(s *scope) { s.pool.DeletionTimestamp = &now }, mkev1.NodePoolDeleting, "removing the nodes"},
		"draining": {func(s *scope) { deleting(s, clusterv1.MachineDeletingDrainingNodeReason, "raw") }, mkev1.NodePoolDeleting, "moving pods off a node"},
		"draining against a budget": {func(s *scope) {
			deleting(s, clusterv1.MachineDeletingDrainingNodeReason, "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 2 healthy pods and has 2 currently")
		}, mkev1.NodePoolDeleting, "moving pods off a node: the PodDisruptionBudget web does not allow it yet; the node goes after 10 minutes at the latest"},
	} {
		t.Run(name, func(t *testing.T) {
			s := testScope()
			s.deployment = &clusterv1.MachineDeployment{}
			tt.change(s)
			summarize(s)
			if s.pool.Status.Phase != tt.phase || s.pool.Status.Message != tt.message {
				t.Errorf("got %s %q, want %s %q", s.pool.Status.Phase, s.pool.Status.Message, tt.phase, tt.message)
			}
			if ready := conditions.IsTrue(s.pool, mkev1.NodePoolReadyCondition); ready != (tt.message == "ready" || name == "no network plugin") {
				t.Errorf("ready = %v", ready)
			}
		})
	}
}

// TestOverdue: machines that never came up do not keep the health check from replacing others, nor themselves.
func TestOverdue(t *testing.T) {
	s, now := testScope(), time.Now()
	for _, minutes := range []int{1, 19, 20, 45} {
		s.machines = append(s.machines, clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-time.Duration(minutes) * time.Minute))}})
	}
	s.machines = append(s.machines, machines(true)...)
	n, next := overdue(s, now)
	if n != 2 || next != time.Minute {
		t.Errorf("%d machines are overdue, the next in %s", n, next)
	}
	if few := desiredHealthCheck(s, n).Spec.Remediation.TriggerIf.UnhealthyLessThanOrEqualTo.IntValue(); few != 4 {
		t.Errorf("%d may be unhealthy", few)
	}
}

// TestGone: all machines whose VM is gone are replaced, and no others.
func TestGone(t *testing.T) {
	s := testScope()
	scheme := runtime.NewScheme()
	if err := clusterv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	c := fake.NewClientBuilder().WithScheme(scheme).Build()
	for name, reason := range map[string]string{"a": infrav1.InstanceGoneReason, "b": infrav1.InstanceGoneReason, "c": infrav1.InstanceGoneReason, "d": "NotRunning", "e": "Running"} {
		m := clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}
		m.Spec.InfrastructureRef.Name = name + "-vm"
		if err := c.Create(t.Context(), &m); err != nil {
			t.Fatal(err)
		}
		i := infrav1.MGKMachine{ObjectMeta: metav1.ObjectMeta{Name: name + "-vm"}}
		conditions.Set(&i, metav1.Condition{Type: infrav1.InstanceReadyCondition, Status: metav1.ConditionFalse, Reason: reason})
		s.machines, s.instances = append(s.machines, m), append(s.instances, i)
	}
	if err := (&Reconciler{Client: c}).reconcileGone(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	var left clusterv1.MachineList
	if err := c.List(t.Context(), &left); err != nil {
		t.Fatal(err)
	}
	if len(left.Items) != 2 || left.Items[0].Name != "d" || left.Items[1].Name != "e" {
		t.Errorf("left: %v", left.Items)
	}
}
