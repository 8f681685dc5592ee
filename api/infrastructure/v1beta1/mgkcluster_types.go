package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// ClusterFinalizer keeps an MGKCluster until its cloud objects are gone.
const ClusterFinalizer = "infrastructure.cluster.x-k8s.io/mgkcluster"

// Conditions of an MGKCluster.
const (
	// SecurityGroupsReadyCondition is true once both security groups and their rules exist.
	SecurityGroupsReadyCondition = "SecurityGroupsReady"
	// LoadBalancerReadyCondition is true once the API load balancer runs and has its addresses.
	LoadBalancerReadyCondition = "LoadBalancerReady"
	// CloudReachableCondition is false while the cloud answers with errors; its message says which.
	CloudReachableCondition = "CloudReachable"
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
	// +optional
	// +kubebuilder:validation:MaxLength=64
	CIDR string `json:"cidr,omitempty"`
}

// MGKClusterSpec is the wanted infrastructure of one cluster.
type MGKClusterSpec struct {
	// controlPlaneEndpoint is set by the provider: the load balancer's public address, port 6443.
	// +optional
	ControlPlaneEndpoint clusterv1.APIEndpoint `json:"controlPlaneEndpoint,omitempty,omitzero"`
	// clusterID marks every cloud object of this cluster.
	// +required
	// +kubebuilder:validation:MaxLength=64
	ClusterID string `json:"clusterID"`
	// region, for example br-se1.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Region string `json:"region"`
	// credentialsSecretName is a Secret in the same namespace with keys api-key and, optionally, endpoint.
	// +required
	// +kubebuilder:validation:MaxLength=253
	CredentialsSecretName string `json:"credentialsSecretName"`
	// vpcID is the VPC of all subnets.
	// +required
	// +kubebuilder:validation:MaxLength=64
	VPCID string `json:"vpcID"`
	// subnets, one per availability zone.
	// +required
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Subnets []Subnet `json:"subnets"`
	// podsCIDR and servicesCIDR are allowed between the nodes.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PodsCIDR string `json:"podsCIDR,omitempty"`
	// allowedCIDRs may reach the API server; empty means everyone.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	AllowedCIDRs []string `json:"allowedCIDRs,omitempty"`
}

// ClusterInitialization is part of Cluster API's contract.
// +kubebuilder:validation:MinProperties=1
type ClusterInitialization struct {
	// provisioned is true once the infrastructure has been made in full.
	// +optional
	Provisioned *bool `json:"provisioned,omitempty"`
}

// MGKClusterStatus is what has been made.
type MGKClusterStatus struct {
	// initialization is part of Cluster API's contract.
	// +optional
	Initialization ClusterInitialization `json:"initialization,omitempty,omitzero"`
	// conditions, see the XxxCondition constants; Ready sums them up.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// failureDomains are the availability zones.
	// +optional
	// +listType=map
	// +listMapKey=name
	FailureDomains []clusterv1.FailureDomain `json:"failureDomains,omitempty"`
	// loadBalancerID of the API load balancer.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	LoadBalancerID string `json:"loadBalancerID,omitempty"`
	// controlPlaneSecurityGroupID of the control plane machines.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	ControlPlaneSecurityGroupID string `json:"controlPlaneSecurityGroupID,omitempty"`
	// nodeSecurityGroupID of all other machines.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	NodeSecurityGroupID string `json:"nodeSecurityGroupID,omitempty"`
}

// MGKCluster is the infrastructure of one cluster in Magalu Cloud.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mgkclusters,scope=Namespaced,categories=cluster-api
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1beta1"
// +kubebuilder:printcolumn:name="Provisioned",type=boolean,JSONPath=`.status.initialization.provisioned`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.spec.controlPlaneEndpoint.host`
type MGKCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MGKClusterSpec   `json:"spec"`
	Status MGKClusterStatus `json:"status,omitempty,omitzero"`
}

// GetConditions returns the conditions, for Cluster API's helpers.
func (c *MGKCluster) GetConditions() []metav1.Condition { return c.Status.Conditions }

// SetConditions sets the conditions, for Cluster API's helpers.
func (c *MGKCluster) SetConditions(conditions []metav1.Condition) { c.Status.Conditions = conditions }

// MGKClusterList is a list of MGKCluster.
// +kubebuilder:object:root=true
type MGKClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MGKCluster `json:"items"`
}
