// Package nodegroup shows a cluster's autoscaled MachineDeployments as groups of nodes and changes their size. All it knows is in
// Cluster API's objects: whoever starts anew finds what an earlier process did.
package nodegroup

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// Annotations of a MachineDeployment. The first ones are those of upstream's autoscaler for Cluster API.
const (
	MinSizeAnnotation = clusterv1.AutoscalerMinSizeAnnotation
	MaxSizeAnnotation = clusterv1.AutoscalerMaxSizeAnnotation

	capacityPrefix                = "capacity.cluster-autoscaler.kubernetes.io/"
	CPUAnnotation                 = capacityPrefix + "cpu"
	MemoryAnnotation              = capacityPrefix + "memory"
	MaxPodsAnnotation             = capacityPrefix + "maxPods"
	EphemeralDiskAnnotation       = capacityPrefix + "ephemeral-disk"
	LabelsAnnotation              = capacityPrefix + "labels"
	TaintsAnnotation              = capacityPrefix + "taints"
	CSIDriverAnnotation           = capacityPrefix + "csi-driver"
	ZonesAnnotation               = "mke.magalu.cloud/zones"
	PriceAnnotation               = "mke.magalu.cloud/price-per-hour"
	StatusAnnotation              = "mke.magalu.cloud/autoscaler-status"
	removingAnnotation            = "mke.magalu.cloud/autoscaler-removing"
	markValue                     = "mke-autoscaler"
	defaultMaxPods          int64 = 110
)

// Group is an autoscaled MachineDeployment.
type Group struct {
	Name             string
	Min, Max, Target int
	// Price in BRL per hour of a node, 0 if unknown.
	Price float64
	// Zones in the order in which the next machines come; may be empty.
	Zones    []string
	Machines []Machine
	// Template is the next node as the annotations describe it, nil if they do not.
	Template *corev1.Node
	CSINode  *storagev1.CSINode
	// Status is the value of StatusAnnotation.
	Status string
	// Deleting is true while the MachineDeployment goes away.
	Deleting bool
}

// Machine of a group.
type Machine struct {
	Name       string
	Created    time.Time
	Node       string
	ProviderID string
	// Deleting is true once somebody has deleted it.
	Deleting bool
	// Marked is true when this autoscaler chose it to go.
	Marked bool
	// Removed is true once the group's target was reduced for it.
	Removed bool
	// Failure says in words why the cloud does not make its VM.
	Failure string
}

// Live is how many machines exist that nobody has deleted.
func (g *Group) Live() int {
	n := 0
	for _, m := range g.Machines {
		if !m.Deleting {
			n++
		}
	}
	return n
}
