package v1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NodePoolReadyCondition is true when the pool has exactly the wanted nodes, all Ready.
const NodePoolReadyCondition = "NodePoolReady"

// NodePoolFinalizer keeps an MGCNodePool until its machines are gone.
const NodePoolFinalizer = "mke.magalu.cloud/node-pool"

// Annotations of a MachineDeployment that the operator and the autoscaler tell each other things by.
const (
	// ZonesAnnotation lists the availability zones of a pool's next machines, in the order in which the provider uses them.
	ZonesAnnotation = "mke.magalu.cloud/zones"
	// PricePerHourAnnotation is the price of one more node.
	PricePerHourAnnotation = "mke.magalu.cloud/price-per-hour"
	// AutoscalerStatusAnnotation is an AutoscalerStatus in JSON, which the autoscaler writes.
	AutoscalerStatusAnnotation = "mke.magalu.cloud/autoscaler-status"
	// ReplicasRevisionAnnotation is the spec.replicasRevision that an autoscaled pool was resized for last.
	ReplicasRevisionAnnotation = "mke.magalu.cloud/replicas-revision"
)

// AutoscalerState is what the autoscaler does with a pool.
// +kubebuilder:validation:Enum=ScalingUp;ScalingDown;Blocked;Idle
type AutoscalerState string

const (
	AutoscalerScalingUp   AutoscalerState = "ScalingUp"
	AutoscalerScalingDown AutoscalerState = "ScalingDown"
	AutoscalerBlocked     AutoscalerState = "Blocked"
	AutoscalerIdle        AutoscalerState = "Idle"
)

// AutoscalerStatus says what the autoscaler does with a pool and why.
type AutoscalerStatus struct {
	// state of the pool.
	// +required
	State AutoscalerState `json:"state"`
	// message is the reason in plain words.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// since when.
	// +optional
	Since metav1.Time `json:"since,omitempty,omitzero"`
}

// NodePoolPhase is the state that the public API shows.
// +kubebuilder:validation:Enum=Pending;ScalingUp;ScalingDown;Running;Deleting;Failed;Unknown
type NodePoolPhase string

const (
	NodePoolPending     NodePoolPhase = "Pending"
	NodePoolScalingUp   NodePoolPhase = "ScalingUp"
	NodePoolScalingDown NodePoolPhase = "ScalingDown"
	NodePoolRunning     NodePoolPhase = "Running"
	NodePoolDeleting    NodePoolPhase = "Deleting"
	NodePoolFailed      NodePoolPhase = "Failed"
	NodePoolUnknown     NodePoolPhase = "Unknown"
)

// ClusterReference names the MGCCluster in the same namespace.
type ClusterReference struct {
	// name of the MGCCluster.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
}

// AutoScale bounds the number of nodes.
type AutoScale struct {
	// minReplicas may be 0.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinReplicas int32 `json:"minReplicas"`
	// maxReplicas is at least minReplicas.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxReplicas int32 `json:"maxReplicas"`
}

// MGCNodePoolSpec is what the customer asked for.
type MGCNodePoolSpec struct {
	// clusterRef names the cluster.
	// +required
	ClusterRef ClusterReference `json:"clusterRef"`
	// nodePoolID is the public id (UUID) of the pool.
	// +required
	// +kubebuilder:validation:MaxLength=36
	NodePoolID string `json:"nodePoolID"`
	// initialReplicas is the number of nodes at creation.
	// +required
	// +kubebuilder:validation:Minimum=0
	InitialReplicas int32 `json:"initialReplicas"`
	// replicas is the wanted number of nodes after creation. Unset means initialReplicas. On an autoscaled pool it is where the autoscaler goes on from.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Replicas *int32 `json:"replicas,omitempty"`
	// replicasRevision grows whenever somebody sets replicas. An autoscaled pool is resized once for each; 0 for never.
	// +optional
	// +kubebuilder:validation:Minimum=0
	ReplicasRevision int64 `json:"replicasRevision,omitempty"`
	// autoScale bounds the pool when it is autoscaled.
	// +optional
	AutoScale *AutoScale `json:"autoScale,omitempty"`
	// kubernetesVersion, for example v1.34.2.
	// +required
	// +kubebuilder:validation:MaxLength=32
	KubernetesVersion string `json:"kubernetesVersion"`
	// machineType, for example BV4-8-40.
	// +required
	// +kubebuilder:validation:MaxLength=64
	MachineType string `json:"machineType"`
	// labels go onto the nodes.
	// +optional
	Labels map[string]string `json:"labels,omitempty"`
	// taints go onto the nodes.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Taints []corev1.Taint `json:"taints,omitempty"`
	// maxPodsPerNode is 8 to 110.
	// +optional
	// +kubebuilder:default=110
	// +kubebuilder:validation:Minimum=8
	// +kubebuilder:validation:Maximum=110
	MaxPodsPerNode int32 `json:"maxPodsPerNode,omitempty"`
	// pricePerHour of a node, a decimal number; unset when it is unknown. The autoscaler may choose between pools by it.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9]+(\.[0-9]+)?$`
	PricePerHour string `json:"pricePerHour,omitempty"`
	// subnets that the nodes are spread over; unset means all of the cluster's.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=16
	Subnets []Subnet `json:"subnets,omitempty"`
}

// MGCNodePoolStatus is what has been seen.
type MGCNodePoolStatus struct {
	// conditions, see the XxxCondition constants.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation that phase and message speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is the state that the public API shows.
	// +optional
	Phase NodePoolPhase `json:"phase,omitempty"`
	// message says in plain words what is being waited for, "ready" when nothing is.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// desiredReplicas is the number of machines wanted now; on an autoscaled pool the autoscaler's choice.
	// +optional
	DesiredReplicas int32 `json:"desiredReplicas"`
	// autoscaler says what the autoscaler does with the pool; unset on a pool of fixed size.
	// +optional
	Autoscaler *AutoscalerStatus `json:"autoscaler,omitempty"`
	// replicas is the number of machines that exist.
	// +optional
	Replicas int32 `json:"replicas"`
	// readyReplicas is the number of Ready nodes.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas"`
}

// MGCNodePool is a set of equal nodes of one customer cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mgcnodepools,scope=Namespaced,shortName=mgcnp
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Ready",type=integer,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type MGCNodePool struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MGCNodePoolSpec   `json:"spec"`
	Status MGCNodePoolStatus `json:"status,omitempty,omitzero"`
}

// GetConditions returns the conditions, for Cluster API's helpers.
func (p *MGCNodePool) GetConditions() []metav1.Condition { return p.Status.Conditions }

// SetConditions sets the conditions, for Cluster API's helpers.
func (p *MGCNodePool) SetConditions(conditions []metav1.Condition) { p.Status.Conditions = conditions }

// MGCNodePoolList is a list of MGCNodePool.
// +kubebuilder:object:root=true
type MGCNodePoolList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MGCNodePool `json:"items"`
}
