package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// DataPolicy says what becomes of data when its cluster is deleted.
// +kubebuilder:validation:Enum=Keep;Delete
type DataPolicy string

const (
	KeepData   DataPolicy = "Keep"
	DeleteData DataPolicy = "Delete"
)

// Deletion says what goes with a cluster. Load balancers of Services always go.
type Deletion struct {
	// volumes that the cluster made, and their snapshots.
	// +optional
	// +kubebuilder:default=Keep
	Volumes DataPolicy `json:"volumes,omitempty"`
}

// CloudObjectKind is the kind of an object that a cluster made in the cloud for what runs in it.
// +kubebuilder:validation:Enum=LoadBalancer;PublicIP;Volume;Snapshot
type CloudObjectKind string

const (
	LoadBalancerObject CloudObjectKind = "LoadBalancer"
	PublicIPObject     CloudObjectKind = "PublicIP"
	VolumeObject       CloudObjectKind = "Volume"
	SnapshotObject     CloudObjectKind = "Snapshot"
)

// CloudObject is an object that a cluster made in the cloud for what runs in it.
type CloudObject struct {
	// kind of the object.
	// +required
	Kind CloudObjectKind `json:"kind"`
	// id in the cloud.
	// +required
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id"`
	// name in the cloud; a public IP's is its address.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name,omitempty"`
	// sizeGiB of volumes and snapshots.
	// +optional
	SizeGiB int32 `json:"sizeGiB,omitempty"`
	// service that a load balancer or public IP was made for, as namespace/name.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Service string `json:"service,omitempty"`
	// reason why an object that was to go is kept.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason,omitempty"`
	// since is when it was put on the list.
	// +optional
	Since metav1.Time `json:"since,omitempty,omitzero"`
}

// DeletionStatus lists what became of the objects in the cloud. An object is listed before it is touched, so that no list lacks it.
type DeletionStatus struct {
	// removed objects; all of them are gone when the cluster is.
	// +optional
	// +listType=map
	// +listMapKey=id
	Removed []CloudObject `json:"removed,omitempty"`
	// kept objects, which cost money until somebody deletes them.
	// +optional
	// +listType=map
	// +listMapKey=id
	Kept []CloudObject `json:"kept,omitempty"`
}
