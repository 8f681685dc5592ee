// Package template says in the status of MGKMachineTemplates what a node made from them has, for autoscalers that look at an empty group.
package template

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/provider/cloud"
)

// Reconciler reconciles MGKMachineTemplates.
type Reconciler struct {
	Client  client.Client
	Catalog *catalog.Catalog
}

// SetupWithManager registers the controller.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("mgkmachinetemplate").
		For(&infrav1.MGKMachineTemplate{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{RateLimiter: cloud.NewRateLimiter()}).
		Complete(r)
}

// Reconcile writes the status of one template. Its spec never changes, so this happens once.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	t := &infrav1.MGKMachineTemplate{}
	if err := r.Client.Get(ctx, req.NamespacedName, t); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := t.DeepCopy()
	t.Status = r.status(t.Spec.Template.Spec.MachineType)
	if !t.DeletionTimestamp.IsZero() || equality.Semantic.DeepEqual(before.Status, t.Status) {
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, client.IgnoreNotFound(r.Client.Status().Patch(ctx, t, client.MergeFrom(before)))
}

// status is empty for a machine type that is not known: what is not known is not guessed.
func (r *Reconciler) status(machineType string) infrav1.MGKMachineTemplateStatus {
	flavor, known := r.Catalog.Flavor(machineType)
	if !known {
		return infrav1.MGKMachineTemplateStatus{}
	}
	return infrav1.MGKMachineTemplateStatus{
		Capacity: flavor.Capacity(),
		NodeInfo: infrav1.NodeInfo{Architecture: "amd64", OperatingSystem: "linux"},
	}
}
