package cluster

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/machine"
)

// meta of an object that bears the cluster's name.
func meta(c *mkev1.MGCCluster) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name, Labels: labels(c)}
}

func labels(c *mkev1.MGCCluster) map[string]string {
	return map[string]string{
		clusterv1.ClusterNameLabel: c.Name,
		mkev1.ClusterIDLabel:       c.Spec.ClusterID,
	}
}

func desiredInfrastructure(c *mkev1.MGCCluster) *infrav1.MGKCluster {
	return &infrav1.MGKCluster{
		ObjectMeta: meta(c),
		Spec: infrav1.MGKClusterSpec{
			ClusterID:             c.Spec.ClusterID,
			Region:                c.Spec.Region,
			CredentialsSecretName: mkev1.CredentialsSecretName,
			VPCID:                 c.Spec.Network.VPCID,
			Subnets:               machine.Subnets(c.Spec.Network.Subnets),
			PodsCIDR:              c.Spec.PodsCIDR,
			AllowedCIDRs:          c.Spec.AllowedCIDRs,
		},
	}
}

// desiredMachineTemplate has a dot in its name, which a node pool's name cannot have: the two never meet.
func desiredMachineTemplate(c *mkev1.MGCCluster, imagePattern string) *infrav1.MGKMachineTemplate {
	return machine.Template(c.Namespace, c.Name+".control-plane", labels(c), infrav1.MGKMachineSpec{
		MachineType: c.Spec.ControlPlane.MachineType,
		Image:       machine.Image(imagePattern, c.Spec.KubernetesVersion),
	})
}

// bindAnywhere lets the monitoring addon read a component's metrics from another node. Not the node's own address: kubeadm keeps one
// configuration for all nodes of a control plane. Security groups admit only the cluster's own machines, and the component only
// who may read /metrics.
var bindAnywhere = bootstrapv1.Arg{Name: "bind-address", Value: ptr.To("0.0.0.0")}

// callRate to the API server of the controller manager and of the scheduler. With their own limits, of 20 and 50 calls a second, 20,000 Pods
// would take a quarter of an hour to be made. The API server protects itself by priority and fairness.
var callRate = []bootstrapv1.Arg{{Name: "kube-api-qps", Value: ptr.To("300")}, {Name: "kube-api-burst", Value: ptr.To("600")}}

func desiredControlPlane(c *mkev1.MGCCluster, template *infrav1.MGKMachineTemplate) *controlplanev1.KubeadmControlPlane {
	size := sizeOf(c.Spec.ControlPlane.MachineType)
	kcp := &controlplanev1.KubeadmControlPlane{
		ObjectMeta: meta(c),
		Spec: controlplanev1.KubeadmControlPlaneSpec{
			Replicas: ptr.To(max(1, c.Spec.ControlPlane.Replicas)),
			Version:  c.Spec.KubernetesVersion,
			MachineTemplate: controlplanev1.KubeadmControlPlaneMachineTemplate{
				ObjectMeta: clusterv1.ObjectMeta{Labels: map[string]string{mkev1.ClusterIDLabel: c.Spec.ClusterID}},
				Spec: controlplanev1.KubeadmControlPlaneMachineTemplateSpec{
					InfrastructureRef: machine.Ref(template),
					Deletion: controlplanev1.KubeadmControlPlaneMachineTemplateDeletionSpec{
						NodeDrainTimeoutSeconds:        ptr.To(machine.NodeDrainTimeoutSeconds),
						NodeVolumeDetachTimeoutSeconds: ptr.To(machine.NodeVolumeDetachTimeoutSeconds),
						NodeDeletionTimeoutSeconds:     ptr.To(machine.NodeDeletionTimeoutSeconds),
					},
				},
			},
			Rollout: controlplanev1.KubeadmControlPlaneRolloutSpec{
				Strategy: controlplanev1.KubeadmControlPlaneRolloutStrategy{
					Type:          controlplanev1.RollingUpdateStrategyType,
					RollingUpdate: controlplanev1.KubeadmControlPlaneRolloutStrategyRollingUpdate{MaxSurge: ptr.To(intstr.FromInt32(1))},
				},
			},
			KubeadmConfigSpec: bootstrapv1.KubeadmConfigSpec{
				Files: []bootstrapv1.File{etcdShares},
				ClusterConfiguration: bootstrapv1.ClusterConfiguration{
					// Elliptic keys are made in no time; a control plane needs a dozen of them before it starts.
					EncryptionAlgorithm: bootstrapv1.EncryptionAlgorithmECDSAP256,
					APIServer:           bootstrapv1.APIServer{ExtraArgs: size.inFlight(), ExtraEnvs: size.memory(45)},
					ControllerManager: bootstrapv1.ControllerManager{
						ExtraArgs: append([]bootstrapv1.Arg{{Name: "node-cidr-mask-size", Value: ptr.To("24")}, bindAnywhere}, callRate...),
						ExtraEnvs: size.memory(12),
					},
					Scheduler: bootstrapv1.Scheduler{ExtraArgs: append([]bootstrapv1.Arg{bindAnywhere}, callRate...), ExtraEnvs: size.memory(12)},
					Etcd: bootstrapv1.Etcd{Local: bootstrapv1.LocalEtcd{
						ExtraArgs: []bootstrapv1.Arg{{Name: "listen-metrics-urls", Value: ptr.To("http://0.0.0.0:2381")}},
					}},
				},
				InitConfiguration: bootstrapv1.InitConfiguration{
					NodeRegistration: machine.Registration(),
					SkipPhases:       []string{"addon/kube-proxy", "addon/coredns"},
					Patches:          patches,
				},
				JoinConfiguration: bootstrapv1.JoinConfiguration{NodeRegistration: machine.Registration(), Patches: patches},
			},
		},
	}
	// These are addons of ours: the control plane provider must not look for kubeadm's.
	kcp.Annotations = map[string]string{controlplanev1.SkipKubeProxyAnnotation: "", controlplanev1.SkipCoreDNSAnnotation: ""}
	return kcp
}

func desiredCluster(c *mkev1.MGCCluster) *clusterv1.Cluster {
	cluster := &clusterv1.Cluster{
		ObjectMeta: meta(c),
		Spec: clusterv1.ClusterSpec{
			ClusterNetwork: clusterv1.ClusterNetwork{
				Pods:          clusterv1.NetworkRanges{CIDRBlocks: []string{c.Spec.PodsCIDR}},
				Services:      clusterv1.NetworkRanges{CIDRBlocks: []string{c.Spec.ServicesCIDR}},
				ServiceDomain: "cluster.local",
			},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: infrav1.GroupVersion.Group, Kind: "MGKCluster", Name: c.Name},
			ControlPlaneRef:   clusterv1.ContractVersionedObjectReference{APIGroup: controlplanev1.GroupVersion.Group, Kind: "KubeadmControlPlane", Name: c.Name},
		},
	}
	cluster.OwnerReferences = []metav1.OwnerReference{ownerReference(c)}
	return cluster
}

func desiredAddon(c *mkev1.MGCCluster, name string) *mkev1.MGCAddon {
	return &mkev1.MGCAddon{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: name, Labels: labels(c), OwnerReferences: []metav1.OwnerReference{ownerReference(c)}},
		Spec:       mkev1.MGCAddonSpec{ClusterRef: mkev1.ClusterReference{Name: c.Name}},
	}
}

func ownerReference(c *mkev1.MGCCluster) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: mkev1.GroupVersion.String(), Kind: "MGCCluster", Name: c.Name, UID: c.UID}
}

// credentialsSecret holds the key and all that is needed to use it.
func credentialsSecret(c *mkev1.MGCCluster, data map[string][]byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace,
			Name:      mkev1.CredentialsSecretName,
			Labels:    labels(c),
			// Also when the whole namespace is deleted, the key must outlive what it is needed to delete.
			Finalizers: []string{mkev1.ClusterFinalizer},
		},
		Data: data,
	}
}
