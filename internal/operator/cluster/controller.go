// Package cluster reconciles MGCCluster: from what the customer asked for to Cluster API's objects, the addons in the
// customer's cluster and the cloud controller beside it, and back to nothing.
package cluster

import (
	"context"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util"
	"sigs.k8s.io/cluster-api/util/finalizers"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/operator/object"
	"magalu.cloud/mke/internal/operator/workload"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/writeback"
)

// Reconciler of MGCCluster.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, where a stale "does not exist" would do harm.
	Live client.Client
	// Cloud returns the cloud on behalf of a tenant, with the platform's key: it does not depend on the cluster's.
	Cloud    func(tenantID string) (*mgc.Client, error)
	Workload *workload.Connector
	// Region whose clusters are managed; those of others are left alone.
	Region string
	// CloudEndpoint and CloudCA (PEM, may be empty) are handed to the cluster's components.
	CloudEndpoint string
	CloudCA       []byte
	// Image of the cloud controller manager.
	Image string
	// NodeImage is the name of the VMs' image; {version} in it becomes the Kubernetes version.
	NodeImage string
	// AutoscalerArgs are further flags of the cluster autoscaler.
	AutoscalerArgs []string
	// Poller spaces the looks at objects in the cloud that are being deleted.
	Poller *cloud.Poller
	// swept are clusters in deletion (by UID) whose load balancers are gone: not every event asks the cloud about them again.
	swept sync.Map
	// pace keeps large clusters from being looked at without a rest.
	pace object.Pace
}

// scope is what one reconciliation works on.
type scope struct {
	mgc *mkev1.MGCCluster
	// cluster, infra and controlPlane are nil while they do not exist.
	cluster      *clusterv1.Cluster
	infra        *infrav1.MGKCluster
	controlPlane *controlplanev1.KubeadmControlPlane
	// machines of the control plane, and instances below them; workers counts the other machines.
	machines  []clusterv1.Machine
	instances []infrav1.MGKMachine
	workers   int
	addons    []mkev1.MGCAddon
	// credentialErr is why there is no credential.
	credentialErr error
	// apiAnswered is true when the API server answered in this reconciliation.
	apiAnswered bool
	// removing says what a deletion is waiting for.
	removing string
	// removalErr is why the cloud's objects of a cluster cannot be removed.
	removalErr error
}

// hasCredential is false while the cloud does not give one: the cluster's components could do nothing.
func (s *scope) hasCredential() bool { return s.credentialErr == nil }

type phase func(context.Context, *scope) (ctrl.Result, error)

// SetupWithManager registers the controller. Everything that it waits for is an event.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	changed := builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})
	byLabel := object.NamedBy(clusterv1.ClusterNameLabel)
	return ctrl.NewControllerManagedBy(mgr).
		Named("mgccluster").
		For(&mkev1.MGCCluster{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&clusterv1.Cluster{}, byLabel, changed).
		Watches(&infrav1.MGKCluster{}, byLabel, changed).
		Watches(&controlplanev1.KubeadmControlPlane{}, byLabel, changed).
		Watches(&clusterv1.Machine{}, byLabel, changed).
		Watches(&infrav1.MGKMachine{}, byLabel, changed).
		// The credential: made again if it is lost.
		Watches(&corev1.Secret{}, byLabel, changed).
		Watches(&appsv1.Deployment{}, byLabel, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&mkev1.MGCNodePool{}, handler.EnqueueRequestsFromMapFunc(poolToCluster), builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.NewPredicateFuncs(func(o client.Object) bool { return !o.GetDeletionTimestamp().IsZero() })))).
		Watches(&mkev1.MGCAddon{}, handler.EnqueueRequestsFromMapFunc(addonToCluster), builder.WithPredicates(addonChanged)).
		WithOptions(options).
		Complete(r)
}

// addonChanged leaves out the coming and going of Pods.
var addonChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, now := e.ObjectOld.(*mkev1.MGCAddon), e.ObjectNew.(*mkev1.MGCAddon)
	return before.Generation != now.Generation || before.Status.Revision != now.Status.Revision || before.Status.Phase != now.Status.Phase ||
		before.DeletionTimestamp.IsZero() != now.DeletionTimestamp.IsZero()
}}

func addonToCluster(_ context.Context, o client.Object) []reconcile.Request {
	a := o.(*mkev1.MGCAddon)
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: a.Namespace, Name: a.Spec.ClusterRef.Name}}}
}

func poolToCluster(_ context.Context, o client.Object) []reconcile.Request {
	pool := o.(*mkev1.MGCNodePool)
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: pool.Namespace, Name: pool.Spec.ClusterRef.Name}}}
}

// Reconcile runs the phases in their fixed order.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (_ ctrl.Result, reterr error) {
	mgc := &mkev1.MGCCluster{}
	if err := r.Client.Get(ctx, req.NamespacedName, mgc); err != nil {
		r.pace.Looked(req.NamespacedName, 0, time.Now())
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if rest := r.pace.Wait(req.NamespacedName, time.Now()); rest > 0 {
		return ctrl.Result{RequeueAfter: rest}, nil
	}
	if mgc.Spec.Region != r.Region {
		return ctrl.Result{}, nil
	}
	if mgc.DeletionTimestamp.IsZero() {
		if _, err := finalizers.EnsureFinalizer(ctx, r.Client, mgc, mkev1.ClusterFinalizer); err != nil {
			return ctrl.Result{}, err
		}
	}
	helper, err := writeback.NewHelper(mgc, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	s := &scope{mgc: mgc}
	defer func() {
		r.pace.Looked(req.NamespacedName, len(s.machines)+s.workers, time.Now())
		summarize(s)
		reterr = object.Patch(ctx, helper, mgc, ownedConditions, reterr)
	}()
	phases := []phase{r.observe, r.reconcileCredentials, r.reconcileClusterAPI, r.reconcileCCM, r.reconcileAutoscaler, r.reconcileAddons, r.reconcileAPIServer}
	if !mgc.DeletionTimestamp.IsZero() {
		phases = []phase{r.observe, r.reconcileDelete}
	}
	return run(ctx, s, phases)
}

// run calls the phases until one fails; a phase that only has to wait lets the next ones go on. The shortest wait wins.
func run(ctx context.Context, s *scope, phases []phase) (ctrl.Result, error) {
	var result ctrl.Result
	for _, p := range phases {
		res, err := p(ctx, s)
		if err != nil {
			return ctrl.Result{}, err
		}
		result = util.LowestNonZeroResult(result, res)
	}
	return result, nil
}

// observe reads what there is.
func (r *Reconciler) observe(ctx context.Context, s *scope) (ctrl.Result, error) {
	key := client.ObjectKeyFromObject(s.mgc)
	var err error
	if s.cluster, err = object.Get(ctx, r.Client, key, &clusterv1.Cluster{}); err != nil {
		return ctrl.Result{}, err
	}
	if s.infra, err = object.Get(ctx, r.Client, key, &infrav1.MGKCluster{}); err != nil {
		return ctrl.Result{}, err
	}
	if s.controlPlane, err = object.Get(ctx, r.Client, key, &controlplanev1.KubeadmControlPlane{}); err != nil {
		return ctrl.Result{}, err
	}
	ofCluster := []client.ListOption{client.InNamespace(key.Namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: key.Name}}
	instances := &infrav1.MGKMachineList{}
	if err := r.Client.List(ctx, instances, append(ofCluster, client.HasLabels{clusterv1.MachineControlPlaneLabel})...); err != nil {
		return ctrl.Result{}, err
	}
	s.instances = instances.Items
	addons := &mkev1.MGCAddonList{}
	if err := r.Client.List(ctx, addons, client.InNamespace(key.Namespace)); err != nil {
		return ctrl.Result{}, err
	}
	s.addons = addons.Items
	machines := &clusterv1.MachineList{}
	// They are only read, and there may be thousands.
	if err := r.Client.List(ctx, machines, append(ofCluster, client.UnsafeDisableDeepCopy)...); err != nil {
		return ctrl.Result{}, err
	}
	for _, m := range machines.Items {
		if util.IsControlPlaneMachine(&m) {
			s.machines = append(s.machines, m)
		} else {
			s.workers++
		}
	}
	return ctrl.Result{}, nil
}

// unauthorizedRetry is how often a credential that the cloud refuses is tried again. Any change of the objects does it at once.
const unauthorizedRetry = time.Minute
