package v1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Conditions of an MGCAddon.
const (
	// AddonAppliedCondition is true once every object of the addon's current content has been written.
	AddonAppliedCondition = "Applied"
	// AddonReadyCondition is true when the addon is applied and all its Pods are ready.
	AddonReadyCondition = "AddonReady"
)

// AddonFinalizer keeps an MGCAddon until what it runs beside the cluster is gone.
const AddonFinalizer = "mke.magalu.cloud/addon"

// AddonLabel carries the addon's name on every object that belongs to it, in the customer's cluster and beside it.
const AddonLabel = "mke.magalu.cloud/addon"

// AddonState is what is wanted of an addon.
// +kubebuilder:validation:Enum=Enabled;Disabled
type AddonState string

const (
	AddonEnabled  AddonState = "Enabled"
	AddonDisabled AddonState = "Disabled"
)

// AddonPhase is the state that the public API shows.
// +kubebuilder:validation:Enum=Pending;Applying;Ready;Failed;Disabled;Deleting
type AddonPhase string

const (
	// AddonPhasePending: the cluster is not there yet.
	AddonPhasePending AddonPhase = "Pending"
	// AddonPhaseApplying: objects are being written, or Pods start.
	AddonPhaseApplying AddonPhase = "Applying"
	AddonPhaseReady    AddonPhase = "Ready"
	AddonPhaseFailed   AddonPhase = "Failed"
	AddonPhaseDisabled AddonPhase = "Disabled"
	AddonPhaseDeleting AddonPhase = "Deleting"
)

// AddonLocation says in which cluster an object is.
// +kubebuilder:validation:Enum=Cluster;Management
type AddonLocation string

const (
	// InCluster is the customer's cluster.
	InCluster AddonLocation = "Cluster"
	// InManagement is the cluster's namespace in the management cluster.
	InManagement AddonLocation = "Management"
)

// MGCAddonSpec is what is wanted. The addon's name is the object's.
type MGCAddonSpec struct {
	// clusterRef names the cluster.
	// +required
	ClusterRef ClusterReference `json:"clusterRef"`
	// state wanted by the customer. Unset means the addon's default.
	// +optional
	State AddonState `json:"state,omitempty"`
	// values are settings of the addon that differ from its defaults, by name.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Values map[string]apiextensionsv1.JSON `json:"values,omitempty"`
}

// AddonObject names an object of an addon.
type AddonObject struct {
	// location of the object.
	// +required
	Location AddonLocation `json:"location"`
	// apiVersion of the object.
	// +required
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion"`
	// kind of the object.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// namespace of the object, empty if it has none.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
	// name of the object.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// MGCAddonStatus is what has been seen.
type MGCAddonStatus struct {
	// conditions, see the AddonXxxCondition constants.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation that phase and message speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// phase is the state that the public API shows.
	// +optional
	Phase AddonPhase `json:"phase,omitempty"`
	// message says in plain words what is being waited for, "ready" when nothing is.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// version that was applied last.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Version string `json:"version,omitempty"`
	// revision is the digest of what was applied last; empty while nothing is.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Revision string `json:"revision,omitempty"`
	// pods wanted by the addon's workloads.
	// +optional
	Pods int32 `json:"pods"`
	// readyPods of them.
	// +optional
	ReadyPods int32 `json:"readyPods"`
	// inventory of all objects that the addon may have left anywhere.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=512
	Inventory []AddonObject `json:"inventory,omitempty"`
}

// MGCAddon is a part of the platform inside one customer cluster: its objects there, and what it runs beside the cluster.
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=mgcaddons,scope=Namespaced,shortName=mgca
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type MGCAddon struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MGCAddonSpec   `json:"spec"`
	Status MGCAddonStatus `json:"status,omitempty,omitzero"`
}

// GetConditions returns the conditions, for Cluster API's helpers.
func (a *MGCAddon) GetConditions() []metav1.Condition { return a.Status.Conditions }

// SetConditions sets the conditions, for Cluster API's helpers.
func (a *MGCAddon) SetConditions(conditions []metav1.Condition) { a.Status.Conditions = conditions }

// MGCAddonList is a list of MGCAddon.
// +kubebuilder:object:root=true
type MGCAddonList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MGCAddon `json:"items"`
}
