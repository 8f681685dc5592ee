// Package addon reconciles MGCAddon: it writes an addon's objects into the customer's cluster and beside it, puts back what
// somebody changes or deletes, removes what is no longer wanted, and reports how the addon's Pods do.
package addon

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/finalizers"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/operator/addons"
	"magalu.cloud/mke/internal/operator/object"
	"magalu.cloud/mke/internal/operator/workload"
	"magalu.cloud/mke/internal/writeback"
)

// Reconciler of MGCAddon.
type Reconciler struct {
	Client client.Client
	// Live writes and reads addons' objects in the management cluster; a cache would hold everybody's.
	Live     client.Client
	Workload *workload.Connector
	// Region whose clusters are managed; those of others are left alone.
	Region string
	// Platform holds what is the same for all clusters: the cloud's address and the images.
	Platform addons.Values

	targets *targets
	// pace keeps addons with a Pod on each of many nodes from being reported on without a rest.
	pace object.Pace
}

// scope is what one reconciliation works on.
type scope struct {
	addon *mkev1.MGCAddon
	// mgc is the cluster, nil if there is none (any more).
	mgc *mkev1.MGCCluster
	// known is false for an addon that this version of the platform does not have. Nothing is wanted of it.
	entry catalog.Addon
	known bool
	// problem is why the objects are not as wanted.
	problem error
	// reachable is true when the customer's API server is known to answer.
	reachable bool
	// pods is the sum over the addon's workloads, nil while it is not known.
	pods *rollout
}

// SetupWithManager registers the controller. Everything that it waits for is an event.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	changed := make(chan event.GenericEvent, 64)
	config := rest.CopyConfig(mgr.GetConfig())
	management, err := newWatcher(config, mgr.GetHTTPClient(), r.Live)
	if err != nil {
		return err
	}
	r.targets = newTargets(r.Workload, management, changed)
	if err := mgr.Add(r.targets); err != nil {
		return err
	}
	clusterChanged := predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, now := e.ObjectOld.(*mkev1.MGCCluster), e.ObjectNew.(*mkev1.MGCCluster)
		return before.Generation != now.Generation || now.DeletionTimestamp != nil && before.DeletionTimestamp == nil ||
			before.Status.Version != now.Status.Version || before.Status.ControlPlaneEndpoint != now.Status.ControlPlaneEndpoint ||
			conditions.IsTrue(before, mkev1.APIServerReadyCondition) != conditions.IsTrue(now, mkev1.APIServerReadyCondition) ||
			conditions.IsTrue(before, mkev1.AddonsReadyCondition) != conditions.IsTrue(now, mkev1.AddonsReadyCondition)
	}}
	return ctrl.NewControllerManagedBy(mgr).
		Named("mgcaddon").
		For(&mkev1.MGCAddon{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&mkev1.MGCCluster{}, handler.EnqueueRequestsFromMapFunc(r.clusterToAddons), builder.WithPredicates(clusterChanged)).
		WatchesRawSource(source.Channel(changed, &handler.EnqueueRequestForObject{})).
		WithOptions(options).
		Complete(r)
}

func (r *Reconciler) clusterToAddons(ctx context.Context, o client.Object) []reconcile.Request {
	list := &mkev1.MGCAddonList{}
	if err := r.Client.List(ctx, list, client.InNamespace(o.GetNamespace())); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List addons")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}

// Reconcile makes the addon's objects agree with what is wanted and reports on them.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (_ ctrl.Result, reterr error) {
	s := &scope{addon: &mkev1.MGCAddon{}}
	if err := r.Client.Get(ctx, req.NamespacedName, s.addon); err != nil {
		r.pace.Looked(req.NamespacedName, 0, time.Now())
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if rest := r.pace.Wait(req.NamespacedName, time.Now()); rest > 0 {
		return ctrl.Result{RequeueAfter: rest}, nil
	}
	cluster := types.NamespacedName{Namespace: req.Namespace, Name: s.addon.Spec.ClusterRef.Name}
	var err error
	if s.mgc, err = object.Get(ctx, r.Client, cluster, &mkev1.MGCCluster{}); err != nil {
		return ctrl.Result{}, err
	}
	if s.mgc != nil && s.mgc.Spec.Region != r.Region {
		return ctrl.Result{}, nil
	}
	if !s.addon.DeletionTimestamp.IsZero() {
		return r.reconcileDelete(ctx, s)
	}
	if s.mgc == nil || !s.mgc.DeletionTimestamp.IsZero() {
		r.targets.drop(cluster)
		return ctrl.Result{}, nil
	}
	if _, err := finalizers.EnsureFinalizer(ctx, r.Client, s.addon, mkev1.AddonFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	s.entry, s.known = catalog.FindAddon(s.addon.Name)
	helper, err := writeback.NewHelper(s.addon, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	defer func() {
		summarize(s)
		r.pace.Looked(req.NamespacedName, int(s.addon.Status.Pods), time.Now())
		reterr = object.Patch(ctx, helper, s.addon, ownedConditions, reterr)
	}()
	return r.reconcileObjects(ctx, s)
}

// Enabled says whether a cluster has an addon. Some are not the customer's to choose here: the network plugin is chosen when
// the cluster is created.
func Enabled(mgc *mkev1.MGCCluster, entry catalog.Addon, wanted mkev1.AddonState) bool {
	switch {
	case entry.Name == catalog.Calico:
		return mgc.Spec.CNI != mkev1.CNINone
	case entry.Essential:
		return true
	case wanted == "":
		return entry.Default
	}
	return wanted == mkev1.AddonEnabled
}
