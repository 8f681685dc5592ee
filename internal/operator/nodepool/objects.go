package nodepool

import (
	"maps"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/machine"
)

// When a node is given up and its machine replaced.
const (
	nodeStartupTimeoutSeconds int32 = 20 * 60
	nodeUnhealthySeconds      int32 = 5 * 60
	// vmStoppedSeconds is how long a person who stops a VM has to start it again. Its Pods have moved by then.
	vmStoppedSeconds int32 = 60
)

func labels(s *scope) map[string]string {
	return map[string]string{
		clusterv1.ClusterNameLabel: s.mgc.Name,
		mkev1.ClusterIDLabel:       s.mgc.Spec.ClusterID,
		mkev1.NodePoolIDLabel:      s.pool.Spec.NodePoolID,
		mkev1.NodePoolLabel:        s.pool.Name,
	}
}

// nodeLabels go onto the nodes: Cluster API copies them from the MachineDeployment to its Machines and on to the Nodes without
// replacing anything. Until it has done so for a new node, a taint keeps Pods away from it.
func nodeLabels(s *scope) map[string]string {
	out := map[string]string{}
	for k, v := range s.pool.Spec.Labels {
		// Machines carry Cluster API's own labels too; those are not the customer's to set.
		if domain, _, _ := strings.Cut(k, "/"); strings.HasSuffix(domain, "x-k8s.io") || k == clusterv1.MachineDeploymentUniqueLabel {
			continue
		}
		out[k] = v
	}
	maps.Copy(out, labels(s))
	return out
}

func nodeTaints(in []corev1.Taint) []clusterv1.MachineTaint {
	var out []clusterv1.MachineTaint
	for _, t := range in {
		out = append(out, clusterv1.MachineTaint{Key: t.Key, Value: t.Value, Effect: t.Effect, Propagation: clusterv1.MachineTaintPropagationAlways})
	}
	return out
}

func desiredMachineTemplate(s *scope, imagePattern string) *infrav1.MGKMachineTemplate {
	return machine.Template(s.pool.Namespace, s.pool.Name, labels(s), infrav1.MGKMachineSpec{
		MachineType: s.pool.Spec.MachineType,
		Image:       machine.Image(imagePattern, s.pool.Spec.KubernetesVersion),
		Subnets:     machine.Subnets(s.pool.Spec.Subnets),
	})
}

func desiredBootstrapTemplate(s *scope) *bootstrapv1.KubeadmConfigTemplate {
	spec := bootstrapv1.KubeadmConfigSpec{
		PreKubeadmCommands: []string{machine.JoinAgain},
		JoinConfiguration: bootstrapv1.JoinConfiguration{
			NodeRegistration: machine.Registration(bootstrapv1.Arg{Name: "max-pods", Value: ptr.To(strconv.Itoa(int(maxPods(s.pool))))}),
		},
	}
	return &bootstrapv1.KubeadmConfigTemplate{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.pool.Namespace, Name: machine.Name(s.pool.Name, spec), Labels: labels(s)},
		Spec: bootstrapv1.KubeadmConfigTemplateSpec{Template: bootstrapv1.KubeadmConfigTemplateResource{
			ObjectMeta: clusterv1.ObjectMeta{Labels: labels(s)},
			Spec:       spec,
		}},
	}
}

func maxPods(p *mkev1.MGCNodePool) int32 {
	if p.Spec.MaxPodsPerNode == 0 {
		return 110
	}
	return p.Spec.MaxPodsPerNode
}

func desiredDeployment(s *scope, infra *infrav1.MGKMachineTemplate, bootstrap *bootstrapv1.KubeadmConfigTemplate) *clusterv1.MachineDeployment {
	selector := map[string]string{clusterv1.ClusterNameLabel: s.mgc.Name, mkev1.NodePoolIDLabel: s.pool.Spec.NodePoolID}
	annotations := preflight(s)
	maps.Copy(annotations, autoscalerAnnotations(s))
	return &clusterv1.MachineDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.pool.Namespace, Name: s.pool.Name, Labels: labels(s), Annotations: annotations},
		Spec: clusterv1.MachineDeploymentSpec{
			ClusterName: s.mgc.Name,
			Replicas:    ownedReplicas(s),
			Selector:    metav1.LabelSelector{MatchLabels: selector},
			Rollout: clusterv1.MachineDeploymentRolloutSpec{Strategy: clusterv1.MachineDeploymentRolloutStrategy{
				Type: clusterv1.RollingUpdateMachineDeploymentStrategyType,
				RollingUpdate: clusterv1.MachineDeploymentRolloutStrategyRollingUpdate{
					MaxSurge:       ptr.To(intstr.FromInt32(1)),
					MaxUnavailable: ptr.To(intstr.FromInt32(0)),
				},
			}},
			Deletion: clusterv1.MachineDeploymentDeletionSpec{Order: clusterv1.NewestMachineSetDeletionOrder},
			Template: clusterv1.MachineTemplateSpec{
				ObjectMeta: clusterv1.ObjectMeta{Labels: nodeLabels(s)},
				Spec: clusterv1.MachineSpec{
					ClusterName: s.mgc.Name,
					Version:     s.pool.Spec.KubernetesVersion,
					Bootstrap: clusterv1.Bootstrap{ConfigRef: clusterv1.ContractVersionedObjectReference{
						APIGroup: bootstrapv1.GroupVersion.Group, Kind: "KubeadmConfigTemplate", Name: bootstrap.Name,
					}},
					InfrastructureRef: machine.Ref(infra),
					Deletion: clusterv1.MachineDeletionSpec{
						NodeDrainTimeoutSeconds:        ptr.To(machine.NodeDrainTimeoutSeconds),
						NodeVolumeDetachTimeoutSeconds: ptr.To(machine.NodeVolumeDetachTimeoutSeconds),
						NodeDeletionTimeoutSeconds:     ptr.To(machine.NodeDeletionTimeoutSeconds),
					},
					Taints: nodeTaints(s.pool.Spec.Taints),
				},
			},
		},
	}
}

// ownedReplicas is the number of machines where it is the operator's to say. On an autoscaled pool it says the first number only: from then
// on the field is the autoscaler's, and Cluster API keeps its value when the operator lets go of it.
func ownedReplicas(s *scope) *int32 {
	if s.pool.Spec.AutoScale != nil && s.deployment != nil {
		return nil
	}
	return ptr.To(replicas(s))
}

// preflight lets machines be made beside a control plane that is being made. Later, while it is being updated, they wait for it.
func preflight(s *scope) map[string]string {
	if ptr.Deref(s.cluster.Status.Initialization.ControlPlaneInitialized, false) {
		return map[string]string{}
	}
	return map[string]string{clusterv1.MachineSetSkipPreflightChecksAnnotation: string(clusterv1.MachineSetPreflightCheckControlPlaneIsStable)}
}

// overdue counts the machines that should have become Nodes by now, and says when the next one may join them, 0 for never.
func overdue(s *scope, now time.Time) (n int32, next time.Duration) {
	for i := range s.machines {
		m := &s.machines[i]
		if m.Status.NodeRef.IsDefined() || !m.DeletionTimestamp.IsZero() {
			continue
		}
		left := time.Duration(nodeStartupTimeoutSeconds)*time.Second - now.Sub(m.CreationTimestamp.Time)
		if left <= 0 {
			n++
		} else if next == 0 || left < next {
			next = left
		}
	}
	return n, next
}

// desiredHealthCheck replaces dead nodes, a few at a time: when more are unhealthy, the cause is rather the network or the
// control plane, and replacing nodes would make it worse. Machines that never came up do not count: however many they are, nothing runs
// on them.
func desiredHealthCheck(s *scope, neverCame int32) *clusterv1.MachineHealthCheck {
	few := intstr.FromInt32(max(2, replicas(s)/5) + neverCame)
	return &clusterv1.MachineHealthCheck{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.pool.Namespace, Name: s.pool.Name, Labels: labels(s)},
		Spec: clusterv1.MachineHealthCheckSpec{
			ClusterName: s.mgc.Name,
			Selector:    metav1.LabelSelector{MatchLabels: map[string]string{mkev1.NodePoolIDLabel: s.pool.Spec.NodePoolID}},
			Checks: clusterv1.MachineHealthCheckChecks{
				NodeStartupTimeoutSeconds: ptr.To(nodeStartupTimeoutSeconds),
				UnhealthyNodeConditions:   unhealthyConditions(s),
			},
			Remediation: clusterv1.MachineHealthCheckRemediation{
				TriggerIf: clusterv1.MachineHealthCheckRemediationTriggerIf{UnhealthyLessThanOrEqualTo: &few},
			},
		},
	}
}

// unhealthyConditions of a node. Without a network plugin, which the customer may bring at any time, a node that is not Ready is
// as it should be.
func unhealthyConditions(s *scope) []clusterv1.UnhealthyNodeCondition {
	unhealthy := []clusterv1.UnhealthyNodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, TimeoutSeconds: ptr.To(nodeUnhealthySeconds)},
		{Type: mkev1.VMStoppedNodeCondition, Status: corev1.ConditionTrue, TimeoutSeconds: ptr.To(vmStoppedSeconds)},
	}
	if s.mgc.Spec.CNI != mkev1.CNINone {
		unhealthy = append(unhealthy, clusterv1.UnhealthyNodeCondition{
			Type: corev1.NodeReady, Status: corev1.ConditionFalse, TimeoutSeconds: ptr.To(nodeUnhealthySeconds),
		})
	}
	return unhealthy
}
