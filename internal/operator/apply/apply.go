// Package apply writes the operator's objects by server-side apply, and only when they differ from what was written before.
package apply

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

const (
	// FieldOwner owns every field that the operator sets.
	FieldOwner = "mke-operator"
	// AppliedAnnotation holds the digest of what was applied last.
	AppliedAnnotation = "mke.magalu.cloud/applied"
	// WakeAnnotation names the last event that Wake told the object's controller about, and when.
	WakeAnnotation = "mke.magalu.cloud/wake"
)

// Apply makes the object in the cluster agree with desired. It does nothing when the same content was applied before, even
// by another process. Fields that desired leaves empty belong to others.
func Apply(ctx context.Context, c client.Client, desired client.Object) error {
	u, err := toUnstructured(c, desired)
	if err != nil {
		return err
	}
	digest := Digest(u.Object)
	live := reflect.New(reflect.TypeOf(desired).Elem()).Interface().(client.Object)
	switch err := c.Get(ctx, client.ObjectKeyFromObject(desired), live); {
	case apierrors.IsNotFound(err):
	case err != nil:
		return fmt.Errorf("read %s %s: %w", u.GetKind(), u.GetName(), err)
	case live.GetAnnotations()[AppliedAnnotation] == digest:
		return nil
	}
	annotations := u.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[AppliedAnnotation] = digest
	u.SetAnnotations(annotations)
	if err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
		return fmt.Errorf("apply %s %s: %w", u.GetKind(), u.GetName(), err)
	}
	return nil
}

// wakeInterval is when an object is woken again. Its controller may have looked through a cache that had not seen the event.
const wakeInterval = 5 * time.Second

// Wake makes the object's own controller look at it now instead of at its next timer, because event has happened. Cluster
// API polls for some things that the operator sees happening. Call it again after the returned time if nothing came of it.
func Wake(ctx context.Context, c client.Client, obj client.Object, event string) (again time.Duration, err error) {
	now := time.Now()
	if last, at, _ := strings.Cut(obj.GetAnnotations()[WakeAnnotation], " "); last == event {
		then, err := time.Parse(time.RFC3339Nano, at)
		if wait := wakeInterval - now.Sub(then); err == nil && wait > 0 {
			return wait, nil
		}
	}
	value := event + " " + now.UTC().Format(time.RFC3339Nano)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, WakeAnnotation, value)
	target := obj.DeepCopyObject().(client.Object)
	return wakeInterval, client.IgnoreNotFound(c.Patch(ctx, target, client.RawPatch(types.MergePatchType, patch)))
}

// Woken is true if Wake told the object's controller about event.
func Woken(obj client.Object, event string) bool {
	return strings.HasPrefix(obj.GetAnnotations()[WakeAnnotation], event+" ")
}

// Digest of a value's JSON, short enough for names and labels. Map order does not matter.
func Digest(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // only API types and their unstructured form come here
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])[:10]
}

func toUnstructured(c client.Client, obj client.Object) (*unstructured.Unstructured, error) {
	gvk, err := apiutil.GVKForObject(obj, c.Scheme())
	if err != nil {
		return nil, err
	}
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, err
	}
	u := &unstructured.Unstructured{Object: content}
	u.SetGroupVersionKind(gvk)
	unstructured.RemoveNestedField(u.Object, "status")
	unstructured.RemoveNestedField(u.Object, "metadata", "creationTimestamp")
	return u, nil
}
