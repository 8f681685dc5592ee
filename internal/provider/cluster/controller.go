// Package cluster reconciles MGKClusters: the security groups and the API load balancer of a cluster.
package cluster

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util"
	"sigs.k8s.io/cluster-api/util/finalizers"
	"sigs.k8s.io/cluster-api/util/paused"
	"sigs.k8s.io/cluster-api/util/predicates"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/writeback"
)

// Reconciler reconciles MGKClusters.
type Reconciler struct {
	Client  client.Client
	Clients *cloud.Clients
	Poller  *cloud.Poller
	// ManagementCIDRs are always let through to the API servers.
	ManagementCIDRs []string
}

// scope is what one reconcile works on.
type scope struct {
	cluster *infrav1.MGKCluster
	cloud   *mgc.Client
	// waiting is set by phases that wait for something asynchronous in the cloud.
	waiting bool
}

func (s *scope) id() string { return s.cluster.Spec.ClusterID }

// SetupWithManager registers the controller and its watches.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, concurrency int) error {
	log := mgr.GetLogger().WithName("mgkcluster")
	return ctrl.NewControllerManagedBy(mgr).
		Named("mgkcluster").
		For(&infrav1.MGKCluster{}, builder.WithPredicates(cloud.IgnoreStatus())).
		Watches(&clusterv1.Cluster{},
			handler.EnqueueRequestsFromMapFunc(util.ClusterToInfrastructureMapFunc(ctx, infrav1.GroupVersion.WithKind("MGKCluster"), mgr.GetClient(), &infrav1.MGKCluster{})),
			builder.WithPredicates(predicates.ClusterPausedTransitions(mgr.GetScheme(), log))).
		Watches(&infrav1.MGKMachine{}, handler.EnqueueRequestsFromMapFunc(r.machineToCluster),
			builder.WithPredicates(onlyDeletions())).
		WatchesMetadata(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.secretToClusters)).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency, RateLimiter: cloud.NewRateLimiter()}).
		Complete(r)
}

// Reconcile brings one MGKCluster nearer to its spec.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (result ctrl.Result, err error) {
	mgk := &infrav1.MGKCluster{}
	if err := r.Client.Get(ctx, req.NamespacedName, mgk); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	owner, err := util.GetOwnerCluster(ctx, r.Client, mgk.ObjectMeta)
	if err != nil && !apierrors.IsNotFound(err) {
		return ctrl.Result{}, err
	}
	if owner == nil && mgk.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // Cluster API sets the owner, which is an event
	}
	ctx = ctrl.LoggerInto(ctx, ctrl.LoggerFrom(ctx, "cluster-id", mgk.Spec.ClusterID))
	if added, err := finalizers.EnsureFinalizer(ctx, r.Client, mgk, infrav1.ClusterFinalizer); err != nil || added {
		return ctrl.Result{}, err
	}
	if isPaused, requeue, err := paused.EnsurePausedCondition(ctx, r.Client, owner, mgk); err != nil || isPaused || requeue {
		return ctrl.Result{RequeueAfter: cloud.Immediately(requeue && !isPaused)}, err
	}
	helper, err := writeback.NewHelper(mgk, r.Client)
	if err != nil {
		return ctrl.Result{}, err
	}
	s := &scope{cluster: mgk}
	defer func() {
		result, err = cloud.Outcome(mgk, result, err)
		summarize(mgk)
		err = errors.Join(err, client.IgnoreNotFound(patchCluster(ctx, helper, mgk)))
	}()
	if s.cloud, _, err = r.Clients.For(ctx, mgk); err != nil {
		return ctrl.Result{}, err
	}
	if !mgk.DeletionTimestamp.IsZero() {
		err = r.delete(ctx, s)
		return ctrl.Result{RequeueAfter: r.Poller.Next(req, s.waiting)}, err
	}
	// All phases run, also after errors: the load balancer is made in the cloud while the security groups are.
	err = errors.Join(r.reconcileLoadBalancer(ctx, s), r.reconcileSecurityGroups(ctx, s), r.reconcileProvisioned(ctx, s))
	next := r.Poller.Next(req, s.waiting)
	if !s.waiting {
		next = settledRecheck
	}
	return ctrl.Result{RequeueAfter: next}, err
}

func (r *Reconciler) machineToCluster(ctx context.Context, o client.Object) []ctrl.Request {
	cluster, err := util.GetClusterFromMetadata(ctx, r.Client, metav1.ObjectMeta{Namespace: o.GetNamespace(), Labels: o.GetLabels()})
	if err != nil || !cluster.Spec.InfrastructureRef.IsDefined() {
		return nil
	}
	return []ctrl.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: cluster.Spec.InfrastructureRef.Name}}}
}

func (r *Reconciler) secretToClusters(ctx context.Context, o client.Object) []ctrl.Request {
	var list infrav1.MGKClusterList
	if err := r.Client.List(ctx, &list, client.InNamespace(o.GetNamespace())); err != nil {
		return nil
	}
	var requests []ctrl.Request
	for _, c := range list.Items {
		if c.Spec.CredentialsSecretName == o.GetName() {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&c)})
		}
	}
	return requests
}

// machines returns the MGKMachines of the cluster.
func (r *Reconciler) machines(ctx context.Context, s *scope) ([]infrav1.MGKMachine, error) {
	name := s.cluster.Labels[clusterv1.ClusterNameLabel]
	for _, ref := range s.cluster.OwnerReferences {
		if ref.Kind == "Cluster" {
			name = ref.Name
		}
	}
	var list infrav1.MGKMachineList
	err := r.Client.List(ctx, &list, client.InNamespace(s.cluster.Namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: name})
	if err != nil {
		return nil, fmt.Errorf("list machines: %w", err)
	}
	return list.Items, nil
}
