package cloud

import (
	"reflect"

	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// IgnoreStatus drops updates of nothing but the status: those are the reconciler's own, and each reconcile may cost cloud calls.
func IgnoreStatus() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld, e.ObjectNew
		return before.GetGeneration() != after.GetGeneration() ||
			before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() ||
			!reflect.DeepEqual(before.GetFinalizers(), after.GetFinalizers()) ||
			!reflect.DeepEqual(before.GetOwnerReferences(), after.GetOwnerReferences()) ||
			!reflect.DeepEqual(before.GetLabels(), after.GetLabels()) ||
			!reflect.DeepEqual(before.GetAnnotations(), after.GetAnnotations())
	}}
}
