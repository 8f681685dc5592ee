// Package writeback writes what a reconciliation found out back to its object, in as few writes as possible: each one wakes all who watch.
package writeback

import (
	"context"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Helper is Cluster API's patch helper, but for the number of writes: at most one of the object and then one of its status, conditions
// included. When somebody else has written meanwhile, it does what Cluster API's does: it merges the conditions.
type Helper struct {
	client client.Client
	before client.Object
	merge  *patch.Helper
}

// NewHelper remembers the object as it is.
func NewHelper(obj client.Object, c client.Client) (*Helper, error) {
	merge, err := patch.NewHelper(obj, c)
	return &Helper{client: c, before: obj.DeepCopyObject().(client.Object), merge: merge}, err
}

// Patch writes what has changed in the object since.
func (h *Helper) Patch(ctx context.Context, obj client.Object, opts ...patch.Option) error {
	err := h.patch(ctx, obj, opts)
	if apierrors.IsConflict(err) {
		return h.merge.Patch(ctx, obj, opts...)
	}
	return err
}

// patch fails with a conflict if the object is not as it was.
func (h *Helper) patch(ctx context.Context, obj client.Object, opts []patch.Option) error {
	options := &patch.HelperOptions{}
	for _, o := range opts {
		o.ApplyToHelper(options)
	}
	before, err := runtime.DefaultUnstructuredConverter.ToUnstructured(h.before)
	if err != nil {
		return err
	}
	after, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return err
	}
	if options.IncludeStatusObservedGeneration {
		if err := unstructured.SetNestedField(after, obj.GetGeneration(), "status", "observedGeneration"); err != nil {
			return err
		}
	}
	version := h.before.GetResourceVersion()
	newStatus := after["status"]
	after["status"] = before["status"]
	written, err := write[client.PatchOption](ctx, h.client, h.before, after, version)
	if err != nil {
		return err
	}
	if written != nil {
		version = written.GetResourceVersion()
		if !written.GetDeletionTimestamp().IsZero() && len(written.GetFinalizers()) == 0 {
			return nil // it was the last finalizer, and the object is gone
		}
		if !reflect.DeepEqual(newStatus, before["status"]) {
			observed(newStatus, h.before.GetGeneration(), written.GetGeneration())
		}
	}
	before["status"] = newStatus
	_, err = write[client.SubResourcePatchOption](ctx, h.client.Status(), h.before, before, version)
	return err
}

// observed says of what was found out about one generation that it holds for another, which the reconciliation itself has made. It would
// else be reconciled and written once more for nothing but this number.
func observed(status any, generation, own int64) {
	content, _ := status.(map[string]any)
	conditions, _ := content["conditions"].([]any)
	for _, c := range conditions {
		if c, ok := c.(map[string]any); ok && c["observedGeneration"] == generation {
			c["observedGeneration"] = own
		}
	}
}

// writer is a client or the client of a subresource.
type writer[O any] interface {
	Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...O) error
}

// write patches from what was to content, if they differ and the object has this version, and returns the answer.
func write[O any](ctx context.Context, w writer[O], from client.Object, content map[string]any, version string) (client.Object, error) {
	to := from.DeepCopyObject().(client.Object)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(content, to); err != nil {
		return nil, err
	}
	if data, err := client.MergeFrom(from).Data(to); err != nil || string(data) == "{}" {
		return nil, err
	}
	from = from.DeepCopyObject().(client.Object)
	from.SetResourceVersion(version)
	data, err := client.MergeFromWithOptions(from, client.MergeFromWithOptimisticLock{}).Data(to)
	if err != nil {
		return nil, err
	}
	return to, w.Patch(ctx, to, client.RawPatch(types.MergePatchType, data))
}
