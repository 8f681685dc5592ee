// Package nodepool reconciles MGCNodePool: a set of equal machines in a customer's cluster.
package nodepool

import (
	"context"
	"time"

	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/finalizers"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/object"
	"magalu.cloud/mke/internal/writeback"
)

// Reconciler of MGCNodePool.
type Reconciler struct {
	Client client.Client
	// Live reads past the cache, where a stale "does not exist" would do harm.
	Live client.Reader
	// NodeImage is the name of the VMs' image; {version} in it becomes the Kubernetes version.
	NodeImage string
	// pace keeps large pools from being looked at without a rest.
	pace object.Pace
}

// scope is what one reconciliation works on.
type scope struct {
	pool *mkev1.MGCNodePool
	// mgc, cluster and deployment are nil while they do not exist.
	mgc        *mkev1.MGCCluster
	cluster    *clusterv1.Cluster
	deployment *clusterv1.MachineDeployment
	// machines of the pool, the VMs below them and how each is to become a node.
	machines  []clusterv1.Machine
	instances []infrav1.MGKMachine
	configs   []bootstrapv1.KubeadmConfig
	// again is when to look again if no event comes before, 0 for never.
	again time.Duration
}

type phase func(context.Context, *scope) error

// SetupWithManager registers the controller. Everything that it waits for is an event.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	changed := builder.WithPredicates(predicate.ResourceVersionChangedPredicate{})
	byLabel := object.NamedBy(mkev1.NodePoolLabel)
	return ctrl.NewControllerManagedBy(mgr).
		Named("mgcnodepool").
		For(&mkev1.MGCNodePool{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&clusterv1.MachineDeployment{}, byLabel, changed).
		Watches(&clusterv1.Machine{}, byLabel, changed).
		Watches(&infrav1.MGKMachine{}, byLabel, changed).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(r.clusterToPools), changed).
		WithOptions(options).
		Complete(r)
}

// clusterToPools: the Cluster has the MGCCluster's name.
func (r *Reconciler) clusterToPools(ctx context.Context, o client.Object) []reconcile.Request {
	pools := &mkev1.MGCNodePoolList{}
	if err := r.Client.List(ctx, pools, client.InNamespace(o.GetNamespace())); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "List node pools")
		return nil
	}
	var requests []reconcile.Request
	for i := range pools.Items {
		if pools.Items[i].Spec.ClusterRef.Name == o.GetName() {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&pools.Items[i])})
		}
	}
	return requests
}

// Reconcile runs the phases in their fixed order.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (_ ctrl.Result, reterr error) {
	pool := &mkev1.MGCNodePool{}
	if err := r.Client.Get(ctx, req.NamespacedName, pool); err != nil {
		r.pace.Looked(req.NamespacedName, 0, time.Now())
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if rest := r.pace.Wait(req.NamespacedName, time.Now()); rest > 0 {
		return ctrl.Result{RequeueAfter: rest}, nil
	}
	if pool.DeletionTimestamp.IsZero() {
		if _, err := finalizers.EnsureFinalizer(ctx, r.Client, pool, mkev1.NodePoolFinalizer); err != nil {
			return ctrl.Result{}, err
		}
	}
	helper, err := writeback.NewHelper(pool, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	s := &scope{pool: pool}
	defer func() {
		r.pace.Looked(req.NamespacedName, len(s.machines)+len(s.instances), time.Now())
		summarize(s)
		reterr = object.Patch(ctx, helper, pool, []string{mkev1.NodePoolReadyCondition}, reterr)
	}()
	phases := []phase{r.observe, r.reconcileMachines, r.reconcileSize, r.reconcileGone, r.reconcileBootstrap, r.reconcileOldTemplates}
	if !pool.DeletionTimestamp.IsZero() {
		phases = []phase{r.observe, r.reconcileDelete}
	}
	for _, p := range phases {
		if err := p(ctx, s); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{RequeueAfter: s.again}, nil
}

// observe reads what there is.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	clusterKey := client.ObjectKey{Namespace: s.pool.Namespace, Name: s.pool.Spec.ClusterRef.Name}
	var err error
	if s.mgc, err = object.Get(ctx, r.Client, clusterKey, &mkev1.MGCCluster{}); err != nil {
		return err
	}
	if s.cluster, err = object.Get(ctx, r.Client, clusterKey, &clusterv1.Cluster{}); err != nil {
		return err
	}
	if s.deployment, err = object.Get(ctx, r.Client, client.ObjectKeyFromObject(s.pool), &clusterv1.MachineDeployment{}); err != nil {
		return err
	}
	// They are only read, and there may be thousands.
	ofPool := []client.ListOption{client.InNamespace(s.pool.Namespace), client.MatchingLabels{mkev1.NodePoolLabel: s.pool.Name}, client.UnsafeDisableDeepCopy}
	var machines clusterv1.MachineList
	var instances infrav1.MGKMachineList
	var configs bootstrapv1.KubeadmConfigList
	for _, list := range []client.ObjectList{&machines, &instances, &configs} {
		if err := r.Client.List(ctx, list, ofPool...); err != nil {
			return err
		}
	}
	s.machines, s.instances, s.configs = machines.Items, instances.Items, configs.Items
	return nil
}
