package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of an MGCCluster, in the order in which they become true.
const (
	// CredentialsReadyCondition is true once the cluster's service account and API key exist.
	CredentialsReadyCondition = "CredentialsReady"
	// InfrastructureReadyCondition is true once security groups and the API load balancer exist.
	InfrastructureReadyCondition = "InfrastructureReady"
	// APIServerReadyCondition is true once the customer's API server has answered.
	APIServerReadyCondition = "APIServerReady"
	// AddonsReadyCondition is true once kube-proxy, the CNI and CoreDNS are applied.
	AddonsReadyCondition = "AddonsReady"
	// ControlPlaneReadyCondition is true once every control plane node is Ready.
	ControlPlaneReadyCondition = "ControlPlaneReady"
	// ClusterReadyCondition sums up all of the above.
	ClusterReadyCondition = "ClusterReady"
	// DeletingCondition is true from the moment that deletion starts; its reason names what is being removed.
	DeletingCondition = "Deleting"
)

// ClusterFinalizer keeps an MGCCluster until nothing of the cluster is left, its credential last.
const ClusterFinalizer = "mke.magalu.cloud/cluster"

// Reasons of the conditions of MGCCluster and MGCNodePool.
const (
	// ReadyReason goes with status True.
	ReadyReason = "Ready"
	// WaitingReason says that something is being made and nothing is wrong.
	WaitingReason = "Waiting"
	// CloudUnavailableReason says that the cloud does not answer, or answers with errors of its own. It is asked again.
	CloudUnavailableReason = "CloudUnavailable"
	// CloudUnauthorizedReason says that the cloud refuses the credential. It is asked again once a minute.
	CloudUnauthorizedReason = "CloudUnauthorized"
	// CloudRefusedReason says that the cloud refuses what was asked for, for example because a quota is used up.
	CloudRefusedReason = "CloudRefused"
	// UnhealthyReason says that something that worked before does not any more.
	UnhealthyReason = "Unhealthy"
	// UpdatingReason says that machines are being replaced.
	UpdatingReason = "Updating"
	// DeletingReason says that the object is being deleted.
	DeletingReason = "Deleting"
)

// ClusterPhase is the state that the public API shows.
// +kubebuilder:validation:Enum=Pending;Provisioning;Running;Deleting;Failed
type ClusterPhase string

const (
	ClusterPending      ClusterPhase = "Pending"
	ClusterProvisioning ClusterPhase = "Provisioning"
	ClusterRunning      ClusterPhase = "Running"
	ClusterDeleting     ClusterPhase = "Deleting"
	ClusterFailed       ClusterPhase = "Failed"
)

// CNI is the network plugin of a cluster.
type CNI string

const (
	CNICalico CNI = "calico"
	CNINone   CNI = "none"
)

// Subnet is a subnet of the cluster's VPC, one per availability zone.
type Subnet struct {
	// id of the subnet in the cloud.
	// +required
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id"`
	// zone is the availability zone, for example br-se1-a.
	// +required
	// +kubebuilder:validation:MaxLength=64
	Zone string `json:"zone"`
	// cidr of the subnet.
	// +required
	// +kubebuilder:validation:MaxLength=64
	CIDR string `json:"cidr"`
}

// Network says where a cluster lives.
type Network struct {
	// vpcID is the id of the VPC in the cloud.
	// +required
	// +kubebuilder:validation:MaxLength=64
	VPCID string `json:"vpcID"`
	// subnets of the VPC, one per availability zone.
	// +required
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Subnets []Subnet `json:"subnets"`
}

// ControlPlane says what the control plane runs on.
type ControlPlane struct {
	// replicas is the number of control plane machines: 1, 3 or 5.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Enum=1;3;5
	Replicas int32 `json:"replicas,omitempty"`
	// machineType of a control plane machine, for example BV2-4-40.
	// +required
	// +kubebuilder:validation:MaxLength=64
	MachineType string `json:"machineType"`
}

// MGCClusterSpec is what the customer asked for.
type MGCClusterSpec struct {
	// clusterID is the public id (UUID) of the cluster.
	// +required
	// +kubebuilder:validation:MaxLength=36
	ClusterID string `json:"clusterID"`
	// tenantID is the id (UUID) of the tenant that owns the cluster.
	// +required
	// +kubebuilder:validation:MaxLength=36
	TenantID string `json:"tenantID"`
	// region, for example br-se1.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Region string `json:"region"`
	// kubernetesVersion, for example v1.34.2.
	// +required
	// +kubebuilder:validation:MaxLength=32
	KubernetesVersion string `json:"kubernetesVersion"`
	// cni is the network plugin; with none the customer brings one.
	// +optional
	// +kubebuilder:default=calico
	// +kubebuilder:validation:Enum=calico;none
	CNI CNI `json:"cni,omitempty"`
	// podsCIDR is split into one /24 per node.
	// +required
	// +kubebuilder:validation:MaxLength=64
	PodsCIDR string `json:"podsCIDR"`
	// servicesCIDR holds the ClusterIPs.
	// +required
	// +kubebuilder:validation:MaxLength=64
	ServicesCIDR string `json:"servicesCIDR"`
	// allowedCIDRs may reach the API server; empty means everyone.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	AllowedCIDRs []string `json:"allowedCIDRs,omitempty"`
	// network says where the machines live.
	// +required
	Network Network `json:"network"`
	// controlPlane says what the control plane runs on.
	// +required
	ControlPlane ControlPlane `json:"controlPlane"`
	// deletion says what goes with the cluster.
	// +optional
	Deletion Deletion `json:"deletion,omitempty,omitzero"`
}

// Endpoint is an address of the API server.
type Endpoint struct {
	// host is a public IPv4 address.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Host string `json:"host,omitempty"`
	// port, normally 6443.
	// +optional
	Port int32 `json:"port,omitempty"`
}

// MGCClusterStatus is what has been seen.
type MGCClusterStatus struct {
	// conditions, see the XxxCondition constants.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation that phase and conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is the state that the public API shows.
	// +optional
	Phase ClusterPhase `json:"phase,omitempty"`
	// message says in plain words what is being waited for; it names no internal kind.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// controlPlaneEndpoint is the address in the kubeconfig.
	// +optional
	ControlPlaneEndpoint Endpoint `json:"controlPlaneEndpoint,omitempty,omitzero"`
	// version is the Kubernetes version that the whole control plane runs.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Version string `json:"version,omitempty"`
	// addonsRevision is the digest of the addons that were applied last.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	AddonsRevision string `json:"addonsRevision,omitempty"`
	// deletion lists what became of the cluster's objects in the cloud.
	// +optional
	Deletion DeletionStatus `json:"deletion,omitempty,omitzero"`
}

// MGCCluster is one customer cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mgcclusters,scope=Namespaced,shortName=mgcc
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.kubernetesVersion`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type MGCCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MGCClusterSpec   `json:"spec"`
	Status MGCClusterStatus `json:"status,omitempty,omitzero"`
}

// GetConditions returns the conditions, for Cluster API's helpers.
func (c *MGCCluster) GetConditions() []metav1.Condition { return c.Status.Conditions }

// SetConditions sets the conditions, for Cluster API's helpers.
func (c *MGCCluster) SetConditions(conditions []metav1.Condition) { c.Status.Conditions = conditions }

// MGCClusterList is a list of MGCCluster.
// +kubebuilder:object:root=true
type MGCClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MGCCluster `json:"items"`
}
