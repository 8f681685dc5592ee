// Package machine holds what control plane machines and node pools have in common: how a VM is described and how it
// registers itself as a Node.
package machine

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/apply"
)

// Limits of a machine's deletion. They end: a PodDisruptionBudget or a dead node must not hold a deletion for ever.
const (
	NodeDrainTimeoutSeconds        int32 = 600
	NodeVolumeDetachTimeoutSeconds int32 = 300
	NodeDeletionTimeoutSeconds     int32 = 60
)

// TemplateKind is the kind of the machines' templates.
const TemplateKind = "MGKMachineTemplate"

// Registration says how kubeadm registers the VM as a Node. cloud-init fills in the VM's own data.
func Registration(extra ...bootstrapv1.Arg) bootstrapv1.NodeRegistrationOptions {
	args := []bootstrapv1.Arg{
		{Name: "cloud-provider", Value: ptr.To("external")},
		{Name: "node-ip", Value: ptr.To("{{ ds.meta_data.local_ipv4 }}")},
		{Name: "provider-id", Value: ptr.To("magalu://{{ ds.meta_data.availability_zone }}/{{ ds.meta_data.uuid }}")},
	}
	return bootstrapv1.NodeRegistrationOptions{
		Name:             "{{ ds.meta_data.local_hostname }}",
		KubeletExtraArgs: append(args, extra...),
	}
}

// JoinAgain goes before a worker's join among cloud-init's commands, which are one shell script: kubeadm gives up when the API server or its load
// balancer goes away in the middle, and would otherwise be called only once in a VM's life.
const JoinAgain = `kubeadm() { until command kubeadm "$@"; do command kubeadm reset --force; sleep 5; done; }`

// Template describes the VMs of one set of machines. Its name ends in a digest of the content: templates are never edited, a
// new content is a new template, and that is what makes Cluster API replace the machines.
func Template(namespace, prefix string, labels map[string]string, spec infrav1.MGKMachineSpec) *infrav1.MGKMachineTemplate {
	return &infrav1.MGKMachineTemplate{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace,
			Name:      Name(prefix, spec),
			Labels:    labels,
		},
		Spec: infrav1.MGKMachineTemplateSpec{Template: infrav1.MGKMachineTemplateResource{
			ObjectMeta: clusterv1.ObjectMeta{Labels: labels},
			Spec:       spec,
		}},
	}
}

// Name is prefix and a digest of content.
func Name(prefix string, content any) string { return prefix + "-" + apply.Digest(content) }

// Ref of a template.
func Ref(t *infrav1.MGKMachineTemplate) clusterv1.ContractVersionedObjectReference {
	return clusterv1.ContractVersionedObjectReference{APIGroup: infrav1.GroupVersion.Group, Kind: TemplateKind, Name: t.Name}
}

// Subnets in the provider's form.
func Subnets(in []mkev1.Subnet) []infrav1.Subnet {
	var out []infrav1.Subnet
	for _, s := range in {
		out = append(out, infrav1.Subnet{ID: s.ID, Zone: s.Zone, CIDR: s.CIDR})
	}
	return out
}

// Image is the name of the VM image for a Kubernetes version. pattern may contain {version}.
func Image(pattern, version string) string { return strings.ReplaceAll(pattern, "{version}", version) }
