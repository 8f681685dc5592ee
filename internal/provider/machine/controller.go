// Package machine reconciles MGKMachines: one VM each, and for control planes a target of the API load balancer.
package machine

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util"
	"sigs.k8s.io/cluster-api/util/annotations"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/finalizers"
	"sigs.k8s.io/cluster-api/util/paused"
	"sigs.k8s.io/cluster-api/util/predicates"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/writeback"
)

// Reconciler reconciles MGKMachines.
type Reconciler struct {
	Client client.Client
	// Live reads bootstrap Secrets, which are needed once and not worth caching.
	Live    client.Reader
	Clients *cloud.Clients
	Poller  *cloud.Poller
}

// scope is what one reconcile works on.
type scope struct {
	cluster    *clusterv1.Cluster
	mgkCluster *infrav1.MGKCluster
	machine    *clusterv1.Machine // nil only while deleting
	mgk        *infrav1.MGKMachine
	cloud      *mgc.Client
	instances  *cloud.Instances
	// instance as the cloud showed it in this reconcile, nil if there is none.
	instance *mgc.Instance
	// waiting is set by phases that wait for something asynchronous in the cloud.
	waiting bool
}

func (s *scope) controlPlane() bool {
	_, ok := s.mgk.Labels[clusterv1.MachineControlPlaneLabel]
	return ok
}

// SetupWithManager registers the controller and its watches.
func (r *Reconciler) SetupWithManager(_ context.Context, mgr ctrl.Manager, concurrency int) error {
	log := mgr.GetLogger().WithName("mgkmachine")
	ofCluster, err := util.ClusterToTypedObjectsMapper(mgr.GetClient(), &infrav1.MGKMachineList{}, mgr.GetScheme())
	if err != nil {
		return err
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("mgkmachine").
		For(&infrav1.MGKMachine{}, builder.WithPredicates(cloud.IgnoreStatus())).
		Watches(&clusterv1.Machine{}, handler.EnqueueRequestsFromMapFunc(util.MachineToInfrastructureMapFunc(infrav1.GroupVersion.WithKind("MGKMachine"))),
			builder.WithPredicates(predicate.Or(cloud.IgnoreStatus(), nodeChanged()))).
		Watches(&clusterv1.Cluster{}, handler.EnqueueRequestsFromMapFunc(ofCluster),
			builder.WithPredicates(predicates.ClusterPausedTransitionsOrInfrastructureProvisioned(mgr.GetScheme(), log))).
		Watches(&infrav1.MGKCluster{}, handler.EnqueueRequestsFromMapFunc(r.inNamespace), builder.WithPredicates(loadBalancerChanged())).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.secretToMachines)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency, RateLimiter: cloud.NewRateLimiter()}).
		Complete(r)
}

// Reconcile brings one MGKMachine nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	s := &scope{mgk: &infrav1.MGKMachine{}}
	if err := r.Client.Get(ctx, req.NamespacedName, s.mgk); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	deleting := !s.mgk.DeletionTimestamp.IsZero()
	if s.machine, err = util.GetOwnerMachine(ctx, r.Client, s.mgk.ObjectMeta); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	if s.machine == nil && !deleting {
		return ctrl.Result{}, nil // Cluster API sets the owner, which is an event
	}
	if s.cluster, err = util.GetClusterFromMetadata(ctx, r.Client, s.mgk.ObjectMeta); err != nil {
		return ctrl.Result{}, err
	}
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx, "cluster", s.cluster.Name))
	if added, err := finalizers.EnsureFinalizer(ctx, r.Client, s.mgk, infrav1.MachineFinalizer); err != nil || added {
		return ctrl.Result{}, err
	}
	// That it is not paused is not worth a write of its own, with thousands of machines.
	if annotations.IsPaused(s.cluster, s.mgk) || conditions.IsTrue(s.mgk, clusterv1.PausedCondition) {
		if isPaused, requeue, err := paused.EnsurePausedCondition(ctx, r.Client, s.cluster, s.mgk); err != nil || isPaused || requeue {
			return ctrl.Result{RequeueAfter: cloud.Immediately(requeue && !isPaused)}, err
		}
	}
	if s.mgkCluster, err = r.infraCluster(ctx, s.cluster); err != nil || s.mgkCluster == nil {
		return ctrl.Result{}, err
	}
	helper, err := writeback.NewHelper(s.mgk, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	defer func() {
		s.setCondition(clusterv1.PausedCondition, metav1.ConditionFalse, clusterv1.NotPausedReason, "")
		result, err = cloud.Outcome(s.mgk, result, err)
		summarize(s)
		err = errors.Join(err, patchMachine(ctx, helper, s.mgk))
	}()
	if s.cloud, s.instances, err = r.Clients.For(ctx, s.mgkCluster); err != nil {
		return ctrl.Result{}, err
	}
	if deleting {
		err = r.delete(ctx, s)
	} else {
		err = errors.Join(r.reconcileInstance(ctx, s), r.reconcileTarget(ctx, s), r.reconcileProvisioned(ctx, s))
	}
	next := r.Poller.Next(req, s.waiting)
	if !s.waiting && provisioned(s.mgk) && s.mgk.DeletionTimestamp.IsZero() {
		next = cloud.SettledRecheck
	}
	return ctrl.Result{RequeueAfter: next}, err
}

// infraCluster returns the MGKCluster, nil while Cluster API has not linked it; that is an event.
func (r *Reconciler) infraCluster(ctx context.Context, cluster *clusterv1.Cluster) (*infrav1.MGKCluster, error) {
	if !cluster.Spec.InfrastructureRef.IsDefined() {
		return nil, nil
	}
	mgk := &infrav1.MGKCluster{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: cluster.Namespace, Name: cluster.Spec.InfrastructureRef.Name}, mgk)
	if apierrors.IsNotFound(err) {
		return nil, errors.New("the cluster's infrastructure object does not exist")
	}
	return mgk, err
}

// inNamespace enqueues all machines of a namespace, which holds one cluster.
func (r *Reconciler) inNamespace(ctx context.Context, o client.Object) []ctrl.Request {
	var list infrav1.MGKMachineList
	if err := r.Client.List(ctx, &list, client.InNamespace(o.GetNamespace())); err != nil {
		return nil
	}
	requests := make([]ctrl.Request, len(list.Items))
	for n := range list.Items {
		requests[n].NamespacedName = client.ObjectKeyFromObject(&list.Items[n])
	}
	return requests
}

// secretToMachines enqueues the machines whose cluster uses the Secret.
func (r *Reconciler) secretToMachines(ctx context.Context, o client.Object) []ctrl.Request {
	var list infrav1.MGKClusterList
	if err := r.Client.List(ctx, &list, client.InNamespace(o.GetNamespace())); err != nil {
		return nil
	}
	for _, c := range list.Items {
		if c.Spec.CredentialsSecretName == o.GetName() {
			return r.inNamespace(ctx, o)
		}
	}
	return nil
}
