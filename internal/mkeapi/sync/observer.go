package sync

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// settleTime is how old a cluster must be for the absence of its resource to mean that somebody removed it.
const settleTime = time.Minute

// maxPause is how long after the end of an outage of the database a report may still wait.
const maxPause = 5 * time.Second

// Observer writes what the management cluster reports into the record. It works per cluster; several may run.
type Observer struct {
	Store *record.Store
	Kube  client.Reader // cached
	Live  client.Client // uncached, asked before anything counts as gone
}

// Setup registers the observer with a manager. Any event in a cluster's namespace makes it look at that cluster.
func (o *Observer) Setup(mgr ctrl.Manager) error {
	labelled := predicate.NewPredicateFuncs(func(obj client.Object) bool { return obj.GetLabels()[mkev1.ClusterIDLabel] != "" })
	byLabel := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, obj client.Object) []reconcile.Request {
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: obj.GetLabels()[mkev1.ClusterIDLabel]}}}
	})
	backoffs := workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](10*time.Millisecond, maxPause)
	return ctrl.NewControllerManagedBy(mgr).Named("observer").
		Watches(&mkev1.MGCCluster{}, byLabel).
		Watches(&mkev1.MGCNodePool{}, byLabel).
		Watches(&corev1.Namespace{}, byLabel).
		WithEventFilter(labelled).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, RateLimiter: backoffs}).
		Complete(o)
}

// Reconcile looks at one cluster, named by its id.
func (o *Observer) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	id, malformed := uuid.Parse(req.Name)
	if malformed != nil {
		return reconcile.Result{}, reconcile.TerminalError(fmt.Errorf("the label %s: %w", mkev1.ClusterIDLabel, malformed))
	}
	seen, err := o.look(ctx, id)
	if err != nil {
		return reconcile.Result{}, err
	}
	ended := false
	err = o.Store.Observe(ctx, id, func(c *record.Cluster, open []db.Operation) {
		ended = seen.write(c, open, record.Now())
	})
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("record what was seen of cluster %s: %w", id, err)
	}
	if err := o.letGo(ctx, seen.cluster); err != nil {
		return reconcile.Result{}, err
	}
	if ended {
		err = o.Store.Enqueue(ctx, id)
	}
	return reconcile.Result{}, err
}

// letGo lets a cluster end whose last report has been recorded: nobody else holds it any more.
func (o *Observer) letGo(ctx context.Context, c *mkev1.MGCCluster) error {
	if c == nil || c.DeletionTimestamp.IsZero() || !slices.Equal(c.Finalizers, []string{recordFinalizer}) {
		return nil
	}
	before := c.DeepCopy()
	c = c.DeepCopy()
	c.Finalizers = nil
	return client.IgnoreNotFound(o.Live.Patch(ctx, c, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}

func (o *Observer) look(ctx context.Context, id uuid.UUID) (*sight, error) {
	s := &sight{pools: map[string]*mkev1.MGCNodePool{}}
	namespace := mkev1.ClusterNamespace(id.String())
	var ns corev1.Namespace
	err := o.Kube.Get(ctx, client.ObjectKey{Name: namespace}, &ns)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	s.namespace = err == nil
	if s.cluster, err = findCluster(ctx, o.Kube, namespace, id); err != nil {
		return nil, err
	}
	if s.cluster == nil && s.namespace {
		if s.cluster, err = findCluster(ctx, o.Live, namespace, id); err != nil {
			return nil, err
		}
	}
	var pools mkev1.MGCNodePoolList
	if err := o.Kube.List(ctx, &pools, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	for i := range pools.Items {
		s.pools[pools.Items[i].Spec.NodePoolID] = &pools.Items[i]
	}
	return s, nil
}

func findCluster(ctx context.Context, kube client.Reader, namespace string, id uuid.UUID) (*mkev1.MGCCluster, error) {
	var clusters mkev1.MGCClusterList
	if err := kube.List(ctx, &clusters, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	for i := range clusters.Items {
		if clusters.Items[i].Spec.ClusterID == id.String() {
			return &clusters.Items[i], nil
		}
	}
	return nil, nil
}

// sight is what was seen of one cluster.
type sight struct {
	namespace bool
	cluster   *mkev1.MGCCluster
	pools     map[string]*mkev1.MGCNodePool
}

// current says whether an object's status speaks of the recorded revision.
func current(obj client.Object, observedGeneration, revision int64) bool {
	applied, err := strconv.ParseInt(obj.GetAnnotations()[revisionAnnotation], 10, 64)
	return err == nil && applied >= revision && observedGeneration >= obj.GetGeneration()
}

// write edits the record and says whether something that was being deleted may be gone, so that the worker must look.
func (s *sight) write(c *record.Cluster, open []db.Operation, now time.Time) (ended bool) {
	if c.State == record.StateDeleting {
		s.writeDeletion(c, open, now)
		return s.cluster == nil
	}
	if s.cluster != nil {
		s.writeCluster(&c.Cluster, isUpdating(open))
	} else if c.State != record.StatePending && s.namespace && now.Sub(c.CreatedAt) > settleTime {
		c.State, c.Message = record.StateFailed, "the cluster was removed outside of this API; delete it"
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		pool := s.pools[p.ID.String()]
		if p.State == record.StateDeleting {
			ended = ended || pool == nil
		}
		if pool != nil {
			writePool(p, pool)
		}
	}
	for i := range open {
		s.writeOperation(&open[i], c, now)
	}
	return ended
}

// isUpdating says whether a change of the cluster itself is under way.
func isUpdating(open []db.Operation) bool {
	return slices.ContainsFunc(open, func(op db.Operation) bool { return op.Kind == record.UpdateCluster })
}

// settled says whether the whole cluster is as wanted. A cluster whose phase is Running may still be changing.
func (s *sight) settled(c *db.Cluster) bool {
	status := &s.cluster.Status
	return current(s.cluster, status.ObservedGeneration, c.Revision) && status.Phase == mkev1.ClusterRunning &&
		meta.IsStatusConditionTrue(status.Conditions, mkev1.ClusterReadyCondition) && (status.Version == "" || status.Version == c.Version)
}

func (s *sight) writeCluster(c *db.Cluster, updating bool) {
	status := &s.cluster.Status
	c.EndpointHost, c.EndpointPort = status.ControlPlaneEndpoint.Host, status.ControlPlaneEndpoint.Port
	if !current(s.cluster, status.ObservedGeneration, c.Revision) || status.Phase == "" {
		return
	}
	c.State, c.Message = string(status.Phase), public(status.Message)
	if updating && status.Phase == mkev1.ClusterRunning && !s.settled(c) {
		c.State = record.StateProvisioning // clients wait for Running after a change
	}
}

func writePool(p *db.NodePool, seen *mkev1.MGCNodePool) {
	p.ReadyReplicas = seen.Status.ReadyReplicas
	switch {
	case p.State == record.StateDeleting:
		p.Message, p.Autoscaler = public(seen.Status.Message), ""
	case current(seen, seen.Status.ObservedGeneration, p.Revision) && seen.Status.Phase != "":
		p.State, p.Message = string(seen.Status.Phase), public(seen.Status.Message)
		p.LiveReplicas, p.Autoscaler = nil, ""
		if p.MinReplicas != nil {
			p.LiveReplicas, p.Autoscaler = &seen.Status.DesiredReplicas, autoscalerMessage(seen.Status.Autoscaler)
		}
	}
}

// autoscalerWords are what people read when the autoscaler gives no reason.
var autoscalerWords = map[mkev1.AutoscalerState]string{
	mkev1.AutoscalerScalingUp:   "adding nodes",
	mkev1.AutoscalerScalingDown: "removing nodes",
	mkev1.AutoscalerBlocked:     "it cannot add nodes",
}

// autoscalerMessage says what the autoscaler does or leaves and why, nothing while it has nothing to do.
func autoscalerMessage(s *mkev1.AutoscalerStatus) string {
	if s == nil || s.State == mkev1.AutoscalerIdle && s.Message == "" {
		return ""
	}
	return "autoscaler: " + firstOf(public(s.Message), autoscalerWords[s.State])
}

func (s *sight) writeDeletion(c *record.Cluster, open []db.Operation, now time.Time) {
	if s.cluster != nil && !s.cluster.DeletionTimestamp.IsZero() {
		c.Message = public(s.cluster.Status.Message)
	} else if s.cluster == nil {
		c.Message = "removing what the platform kept about the cluster"
	}
	for i := range open {
		if open[i].Kind != record.DeleteCluster {
			continue
		}
		if s.cluster != nil {
			open[i].Removed, open[i].Kept = cloudObjects(s.cluster.Status.Deletion.Removed), cloudObjects(s.cluster.Status.Deletion.Kept)
		}
		s.writeOperation(&open[i], c, now)
	}
}

func cloudObjects(in []mkev1.CloudObject) []db.CloudObject {
	out := make([]db.CloudObject, len(in))
	for i, o := range in {
		out[i] = db.CloudObject{Kind: string(o.Kind), ID: o.ID, Name: o.Name, SizeGiB: o.SizeGiB, Service: o.Service, Reason: o.Reason}
	}
	return out
}

// internalWords appear in messages of machinery that people need not know.
var internalWords = []string{"x-k8s.io", "magalu.cloud/", "admission webhook", "reconcil", "kubeadm", "MGC", "MGK", "finalizer", "namespace"}

// public keeps messages that were written for people and replaces those that were not.
func public(message string) string {
	for _, word := range internalWords {
		if strings.Contains(strings.ToLower(message), strings.ToLower(word)) {
			return "the platform is working on it"
		}
	}
	return message
}
