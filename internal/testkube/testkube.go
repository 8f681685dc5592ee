// Package testkube makes fakes of Kubernetes' API for tests that apply nothing on the server's side. They keep no managed fields: the usual
// ones map all kinds anew for every write to do so, which takes most of the time of a test that writes much.
package testkube

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/testing"
)

// NewClientset returns a fake with the objects.
func NewClientset(objects ...runtime.Object) *fake.Clientset {
	return fake.NewSimpleClientset(objects...) //nolint:staticcheck // deprecated for what applies
}

// NewTracker is what a fake client of controller-runtime keeps its objects in, see its WithObjectTracker.
func NewTracker(scheme *runtime.Scheme) testing.ObjectTracker {
	return testing.NewObjectTracker(scheme, serializer.NewCodecFactory(scheme).UniversalDecoder())
}
