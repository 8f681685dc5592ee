// Package v1beta1 holds CAPMGK's kinds, which implement Cluster API's v1beta2 contract for infrastructure providers.
// +kubebuilder:object:generate=true
// +groupName=infrastructure.cluster.x-k8s.io
package v1beta1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "infrastructure.cluster.x-k8s.io", Version: "v1beta1"}

var schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme registers the kinds of this package.
var AddToScheme = schemeBuilder.AddToScheme

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&MGKCluster{}, &MGKClusterList{},
		&MGKMachine{}, &MGKMachineList{},
		&MGKMachineTemplate{}, &MGKMachineTemplateList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
