package cluster

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/credentials"
	"magalu.cloud/mke/internal/operator/object"
)

// workersGone is the event that the Cluster's controller polls for every 5 s.
const workersGone = "workers-gone"

// leftoverRecheck is for objects whose end is no event of ours.
const leftoverRecheck = time.Second

// reconcileDelete removes everything, the credential last: what is left could not be removed without it.
func (r *Reconciler) reconcileDelete(ctx context.Context, s *scope) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.mgc, mkev1.ClusterFinalizer) {
		return ctrl.Result{}, nil
	}
	// The autoscaler first: it would answer to the nodes' end.
	if gone, err := r.removeAutoscaler(ctx, s.mgc); err != nil || !gone {
		s.removing = "stopping the cluster autoscaler"
		return ctrl.Result{}, err
	}
	pools, err := r.deletePools(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	clusterGone, err := r.deleteClusterAPI(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	stopped, err := r.stopControllers(ctx, s)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !clusterGone || pools > 0 {
		if clusterGone {
			s.removing = "removing the node pools"
		}
		phases := []phase{r.wakeCluster}
		if !clusterGone {
			// A credential that was lost or revoked is made again, or the cloud's objects would stay for ever.
			phases = []phase{r.reconcileCredentials, r.wakeCluster}
		}
		return run(ctx, s, append(phases, r.removeEarly(stopped)))
	}
	if !stopped {
		s.removing = "stopping the cluster's controllers"
		return ctrl.Result{RequeueAfter: leftoverRecheck}, nil
	}
	if res, err := r.removeObjects(ctx, s, true); err != nil || !res.IsZero() {
		return res, err
	}
	s.removing = "removing the credentials"
	if res, err := r.deleteCredentials(ctx, s); err != nil || !res.IsZero() {
		return res, err
	}
	controllerutil.RemoveFinalizer(s.mgc, mkev1.ClusterFinalizer)
	r.swept.Delete(s.mgc.UID)
	ctrl.LoggerFrom(ctx).Info("Cluster deleted")
	return ctrl.Result{}, nil
}

// wakeCluster tells the Cluster's controller that the workers are gone and the control plane may go.
func (r *Reconciler) wakeCluster(ctx context.Context, s *scope) (ctrl.Result, error) {
	if s.cluster == nil || s.workers > 0 || s.controlPlane == nil || !s.controlPlane.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	return r.wake(ctx, s.cluster, workersGone)
}

// deletePools marks all pools of the cluster for deletion and returns how many there still are.
func (r *Reconciler) deletePools(ctx context.Context, s *scope) (int, error) {
	list := &mkev1.MGCNodePoolList{}
	if err := r.Client.List(ctx, list, client.InNamespace(s.mgc.Namespace)); err != nil {
		return 0, err
	}
	left := 0
	for i := range list.Items {
		pool := &list.Items[i]
		if pool.Spec.ClusterRef.Name != s.mgc.Name {
			continue
		}
		left++
		if pool.DeletionTimestamp.IsZero() {
			if err := r.Client.Delete(ctx, pool); client.IgnoreNotFound(err) != nil {
				return left, err
			}
		}
	}
	return left, nil
}

// stopControllers deletes what runs beside the cluster and says whether all of it has ended: it would make again what is removed.
func (r *Reconciler) stopControllers(ctx context.Context, s *scope) (stopped bool, err error) {
	list := &appsv1.DeploymentList{}
	if err := r.Live.List(ctx, list, client.InNamespace(s.mgc.Namespace)); err != nil {
		return false, err
	}
	for i := range list.Items {
		if !list.Items[i].DeletionTimestamp.IsZero() {
			continue
		}
		// In the foreground: it exists until its Pods have ended.
		err := r.Client.Delete(ctx, &list.Items[i], client.PropagationPolicy(metav1.DeletePropagationForeground))
		if client.IgnoreNotFound(err) != nil {
			return false, err
		}
	}
	return len(list.Items) == 0, nil
}

// deleteClusterAPI deletes the Cluster, at the same time as the pools: machines of a cluster that goes as a whole are not
// drained. Cluster API then removes workers, control plane and infrastructure in this order. Without a Cluster, what was
// made before it is removed here.
func (r *Reconciler) deleteClusterAPI(ctx context.Context, s *scope) (gone bool, err error) {
	key := metav1.ObjectMeta{Namespace: s.mgc.Namespace, Name: s.mgc.Name}
	gone, err = r.remove(ctx, &clusterv1.Cluster{ObjectMeta: key})
	if err != nil {
		return false, err
	}
	if !gone {
		s.removing = removalMessage(s)
		return false, nil
	}
	gone = true
	for _, o := range []client.Object{&controlplanev1.KubeadmControlPlane{ObjectMeta: key}, &infrav1.MGKCluster{ObjectMeta: key}} {
		g, err := r.remove(ctx, o)
		if err != nil {
			return false, err
		}
		gone = gone && g
	}
	s.removing = "removing the load balancer and the network rules"
	if !gone {
		return false, nil
	}
	return true, r.deleteTemplates(ctx, s)
}

// deleteTemplates deletes the control plane's templates; node pools delete their own.
func (r *Reconciler) deleteTemplates(ctx context.Context, s *scope) error {
	list := &infrav1.MGKMachineTemplateList{}
	err := r.Live.List(ctx, list, client.InNamespace(s.mgc.Namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: s.mgc.Name})
	if err != nil {
		return err
	}
	for i := range list.Items {
		if err := r.Client.Delete(ctx, &list.Items[i]); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// remove deletes an object and tells whether it is gone for sure: the answer comes from the API server, not from the cache.
func (r *Reconciler) remove(ctx context.Context, obj client.Object, options ...client.DeleteOption) (gone bool, err error) {
	live, err := object.Get(ctx, r.Live, client.ObjectKeyFromObject(obj), obj)
	if err != nil || live == nil {
		return err == nil, err
	}
	if live.GetDeletionTimestamp().IsZero() {
		if err := r.Client.Delete(ctx, live, options...); client.IgnoreNotFound(err) != nil {
			return false, err
		}
		live, err = object.Get(ctx, r.Live, client.ObjectKeyFromObject(obj), obj)
	}
	return err == nil && live == nil, err
}

func (r *Reconciler) deleteCredentials(ctx context.Context, s *scope) (ctrl.Result, error) {
	c, err := r.Cloud(s.mgc.Spec.TenantID)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := credentials.Remove(ctx, c.IAM, s.mgc.Spec.ClusterID); err != nil {
		s.credentialErr = err
		return cloudFailed(err)
	}
	key := client.ObjectKey{Namespace: s.mgc.Namespace, Name: mkev1.CredentialsSecretName}
	existing, err := object.Get(ctx, r.Live, key, &corev1.Secret{})
	if err != nil || existing == nil {
		return ctrl.Result{}, err
	}
	if controllerutil.RemoveFinalizer(existing, mkev1.ClusterFinalizer) {
		if err := r.Client.Update(ctx, existing); err != nil {
			return ctrl.Result{}, client.IgnoreNotFound(err)
		}
	}
	return ctrl.Result{}, client.IgnoreNotFound(r.Client.Delete(ctx, existing))
}
