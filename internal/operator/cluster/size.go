package cluster

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"

	"magalu.cloud/mke/internal/catalog"
)

// size of a control plane machine, from which follows what its static Pods may take of it.
type size struct{ catalog.Flavor }

// sizeOf a machine type; of one that is not in the catalog nothing is known, and the components keep their own limits.
func sizeOf(machineType string) size {
	flavor, _ := catalog.Default().Flavor(machineType)
	return size{flavor}
}

// inFlight bounds what an API server does at once, by cores, up to half of its own limits. With those, two cores took seconds for every
// answer while 20,000 Pods were made: priorities decide only who waits for a place, and leases ran out.
func (s size) inFlight() []bootstrapv1.Arg {
	if s.VCPU == 0 {
		return nil
	}
	limit := func(name string, perCore, most int) bootstrapv1.Arg {
		return bootstrapv1.Arg{Name: name, Value: ptr.To(strconv.Itoa(min(perCore*s.VCPU, most)))}
	}
	return []bootstrapv1.Arg{limit("max-requests-inflight", 50, 200), limit("max-mutating-requests-inflight", 25, 100)}
}

// memory makes a component collect garbage more often when it nears this share of the machine's memory, in per cent, instead of being killed.
func (s size) memory(share int) *[]bootstrapv1.EnvVar {
	if s.RAM == 0 {
		return nil
	}
	return &[]bootstrapv1.EnvVar{{EnvVar: corev1.EnvVar{Name: "GOMEMLIMIT", Value: fmt.Sprintf("%dMiB", s.RAM*share/100)}}}
}

// patches of kubeadm's static Pods. On a busy machine a Pod's share of the processor is what it requests, and etcd's tenth of a core starves
// it: with 1,700 nodes a write took a second, and the controller manager lost its lease again and again.
var (
	patches    = bootstrapv1.Patches{Directory: "/etc/kubernetes/patches"}
	etcdShares = bootstrapv1.File{
		Path: patches.Directory + "/etcd+strategic.yaml", Permissions: "0600",
		Content: "spec: {containers: [{name: etcd, resources: {requests: {cpu: 400m}}}]}\n",
	}
)
