// Package object is what the operator's controllers do alike: look objects up, hear of an object's relatives by a label, and
// write back what a reconciliation found out.
package object

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	kerrors "k8s.io/apimachinery/pkg/util/errors"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"magalu.cloud/mke/internal/writeback"
)

// Get returns nil if the object does not exist.
func Get[T client.Object](ctx context.Context, c client.Reader, key client.ObjectKey, obj T) (T, error) {
	var none T
	if err := c.Get(ctx, key, obj); err != nil {
		return none, client.IgnoreNotFound(err)
	}
	return obj, nil
}

// NamedBy wakes the object in the same namespace that a relative's label names.
func NamedBy(label string) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		name := o.GetLabels()[label]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
	})
}

// Patch writes back what a reconciliation that ended with err changed, its own conditions among it, and returns both errors. The
// generation counts as observed only without err.
func Patch(ctx context.Context, helper *writeback.Helper, obj client.Object, ownedConditions []string, err error) error {
	options := []patch.Option{patch.WithOwnedConditions{Conditions: ownedConditions}}
	if err == nil {
		options = append(options, patch.WithStatusObservedGeneration{})
	}
	patchErr := helper.Patch(ctx, obj, options...)
	if !obj.GetDeletionTimestamp().IsZero() {
		patchErr = kerrors.FilterOut(patchErr, apierrors.IsNotFound) // the cache lags behind the end of a deletion
	}
	return kerrors.NewAggregate([]error{err, patchErr})
}
