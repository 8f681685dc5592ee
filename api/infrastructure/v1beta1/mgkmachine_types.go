package v1beta1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
)

// MachineFinalizer keeps an MGKMachine until its VM is gone.
const MachineFinalizer = "infrastructure.cluster.x-k8s.io/mgkmachine"

// Conditions of an MGKMachine.
const (
	// InstanceReadyCondition is true while the VM exists and runs.
	InstanceReadyCondition = "InstanceReady"
	// LoadBalancerTargetCondition is true once a control plane machine is a target of the API load balancer.
	LoadBalancerTargetCondition = "LoadBalancerTarget"
)

// InstanceGoneReason of InstanceReadyCondition: the cloud itself says that a VM that ran does not exist any more.
const InstanceGoneReason = "Gone"

// InstanceCreationFailedReason of InstanceReadyCondition: the VM could not be made. If the cloud could be reached, it refused.
const InstanceCreationFailedReason = "CreationFailed"

// MGKMachineSpec is one wanted VM.
type MGKMachineSpec struct {
	// providerID is set by the provider: magalu://<zone>/<instance id>.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	ProviderID string `json:"providerID,omitempty"`
	// machineType, for example BV4-8-40.
	// +required
	// +kubebuilder:validation:MaxLength=64
	MachineType string `json:"machineType"`
	// image is the name of the VM image.
	// +required
	// +kubebuilder:validation:MaxLength=255
	Image string `json:"image"`
	// subnets to choose from; unset means all of the cluster's. The one whose zone is the Machine's failure domain, else the one with the fewest machines of the same pool.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=16
	Subnets []Subnet `json:"subnets,omitempty"`
}

// MachineInitialization is part of Cluster API's contract.
// +kubebuilder:validation:MinProperties=1
type MachineInitialization struct {
	// provisioned is true once the VM runs.
	// +optional
	Provisioned *bool `json:"provisioned,omitempty"`
}

// MGKMachineStatus is what has been made.
type MGKMachineStatus struct {
	// initialization is part of Cluster API's contract.
	// +optional
	Initialization MachineInitialization `json:"initialization,omitempty,omitzero"`
	// conditions, see the XxxCondition constants; Ready sums them up.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// addresses of the VM.
	// +optional
	// +listType=atomic
	Addresses []clusterv1.MachineAddress `json:"addresses,omitempty"`
	// failureDomain is the availability zone of the VM.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	FailureDomain string `json:"failureDomain,omitempty"`
	// instanceID of the VM.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	InstanceID string `json:"instanceID,omitempty"`
	// instanceState as the cloud last said: new, running, stopped, error, ...
	// +optional
	// +kubebuilder:validation:MaxLength=64
	InstanceState string `json:"instanceState,omitempty"`
}

// MGKMachine is one VM in Magalu Cloud.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mgkmachines,scope=Namespaced,categories=cluster-api
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1beta1"
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.instanceState`
// +kubebuilder:printcolumn:name="ProviderID",type=string,JSONPath=`.spec.providerID`
type MGKMachine struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MGKMachineSpec   `json:"spec"`
	Status MGKMachineStatus `json:"status,omitempty,omitzero"`
}

// GetConditions returns the conditions, for Cluster API's helpers.
func (m *MGKMachine) GetConditions() []metav1.Condition { return m.Status.Conditions }

// SetConditions sets the conditions, for Cluster API's helpers.
func (m *MGKMachine) SetConditions(conditions []metav1.Condition) { m.Status.Conditions = conditions }

// MGKMachineList is a list of MGKMachine.
// +kubebuilder:object:root=true
type MGKMachineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MGKMachine `json:"items"`
}

// MGKMachineTemplateSpec holds the template.
type MGKMachineTemplateSpec struct {
	// template of the machines.
	// +required
	Template MGKMachineTemplateResource `json:"template"`
}

// MGKMachineTemplateResource is what each machine is made from.
type MGKMachineTemplateResource struct {
	// metadata is copied onto the machines.
	// +optional
	ObjectMeta clusterv1.ObjectMeta `json:"metadata,omitempty,omitzero"`
	// spec of the machines.
	// +required
	Spec MGKMachineSpec `json:"spec"`
}

// NodeInfo is part of Cluster API's contract.
type NodeInfo struct {
	// architecture of the node, for example amd64.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Architecture string `json:"architecture,omitempty"`
	// operatingSystem of the node, for example linux.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	OperatingSystem string `json:"operatingSystem,omitempty"`
}

// MGKMachineTemplateStatus says what a node made from the template has. Autoscalers read it while there is no such node.
type MGKMachineTemplateStatus struct {
	// capacity of the node; unset for machine types that the platform does not know.
	// +optional
	Capacity corev1.ResourceList `json:"capacity,omitempty"`
	// nodeInfo of the node.
	// +optional
	NodeInfo NodeInfo `json:"nodeInfo,omitempty,omitzero"`
}

// MGKMachineTemplate makes MGKMachines.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mgkmachinetemplates,scope=Namespaced,categories=cluster-api
// +kubebuilder:metadata:labels="cluster.x-k8s.io/v1beta2=v1beta1"
type MGKMachineTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MGKMachineTemplateSpec   `json:"spec"`
	Status MGKMachineTemplateStatus `json:"status,omitempty,omitzero"`
}

// MGKMachineTemplateList is a list of MGKMachineTemplate.
// +kubebuilder:object:root=true
type MGKMachineTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MGKMachineTemplate `json:"items"`
}
