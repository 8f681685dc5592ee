package addons

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/apply"
)

// concurrency of writes into one cluster.
const concurrency = 8

// wave of a kind: first what others live in, then what Pods need, then what makes Pods. Objects of other kinds than
// Kubernetes' own go last; their definitions are part of the addon, or of one that it needs.
func wave(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace", "CustomResourceDefinition":
		return 0
	case "DaemonSet", "Deployment", "StatefulSet":
		return 2
	}
	if builtIn(o.GroupVersionKind().Group) {
		return 1
	}
	return 3
}

func builtIn(group string) bool {
	switch group {
	case "", "policy", "apps", "batch", "autoscaling", "apiregistration.k8s.io", "apiextensions.k8s.io", "rbac.authorization.k8s.io",
		"storage.k8s.io", "scheduling.k8s.io", "networking.k8s.io", "admissionregistration.k8s.io", "coordination.k8s.io":
		return true
	}
	return false
}

// Apply writes the objects, and sets each to what the API server made of it. An error that IsNotServedYet may be tried again
// soon.
func Apply(ctx context.Context, c client.Client, objects []*unstructured.Unstructured) error {
	for w := range 4 {
		g := errgroup.Group{} // one refused object does not keep the others out
		g.SetLimit(concurrency)
		for _, o := range objects {
			if wave(o) != w {
				continue
			}
			g.Go(func() error {
				if err := write(ctx, c, o); err != nil {
					return fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// write applies an object. A workload whose selector is another one, for example kubeadm's CoreDNS in clusters of earlier
// versions, cannot be changed: it is replaced.
func write(ctx context.Context, c client.Client, o *unstructured.Unstructured) error {
	desired := client.ApplyConfigurationFromUnstructured(o.DeepCopy())
	err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(apply.FieldOwner), client.ForceOwnership)
	if wave(o) != 2 || !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.selector") {
		return err
	}
	old := &unstructured.Unstructured{}
	old.SetGroupVersionKind(o.GroupVersionKind())
	old.SetNamespace(o.GetNamespace())
	old.SetName(o.GetName())
	if err := c.Delete(ctx, old, client.PropagationPolicy(metav1.DeletePropagationBackground)); client.IgnoreNotFound(err) != nil {
		return err
	}
	return c.Apply(ctx, desired, client.FieldOwner(apply.FieldOwner), client.ForceOwnership)
}

// IsNotServedYet is true for an error that only says that a custom resource's definition is too young.
func IsNotServedYet(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err)
}

// Inventory names the objects.
func Inventory(location mkev1.AddonLocation, objects []*unstructured.Unstructured) []mkev1.AddonObject {
	inventory := make([]mkev1.AddonObject, 0, len(objects))
	for _, o := range objects {
		inventory = append(inventory, mkev1.AddonObject{
			Location: location, APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
		})
	}
	return inventory
}

// Remove deletes an object if it still is the addon's, and says whether it is gone or no longer the addon's. Definitions of
// custom resources stay: with them would go what customers made with them.
func Remove(ctx context.Context, c client.Client, addon string, object mkev1.AddonObject) (gone bool, err error) {
	if object.Kind == "CustomResourceDefinition" {
		return true, nil
	}
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(schema.FromAPIVersionAndKind(object.APIVersion, object.Kind))
	err = c.Get(ctx, client.ObjectKey{Namespace: object.Namespace, Name: object.Name}, live)
	switch {
	case IsNotServedYet(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("read %s %s: %w", object.Kind, object.Name, err)
	case live.Labels[mkev1.AddonLabel] != addon:
		return true, nil
	case !live.DeletionTimestamp.IsZero():
		return false, nil
	}
	precondition := client.Preconditions{UID: &live.UID}
	// Foreground: a Deployment is gone only when its Pods are.
	err = c.Delete(ctx, live, precondition, client.PropagationPolicy(metav1.DeletePropagationForeground))
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("delete %s %s: %w", object.Kind, object.Name, err)
	}
	return apierrors.IsNotFound(err), nil
}
