package cluster

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/cluster-api/util/secret"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/apply"
)

// autoscalerName of the cluster autoscaler's Deployment, of its identity in the management cluster, and of the ClusterRole (it comes with the
// platform's chart) that this identity has in the cluster's namespace.
const autoscalerName = "mke-autoscaler"

// reconcileAutoscaler runs a cluster autoscaler while the cluster has an autoscaled node pool.
func (r *Reconciler) reconcileAutoscaler(ctx context.Context, s *scope) (ctrl.Result, error) {
	if len(s.machines) == 0 { // the kubeconfig is made before the first machine
		return ctrl.Result{}, nil
	}
	wanted, err := r.isAutoscaled(ctx, s.mgc)
	if err != nil {
		return ctrl.Result{}, err
	}
	if !wanted {
		_, err := r.removeAutoscaler(ctx, s.mgc)
		return ctrl.Result{}, err
	}
	for _, o := range desiredAutoscaler(s.mgc, r.Image, r.AutoscalerArgs) {
		if err := apply.Apply(ctx, r.Client, o); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{}, nil
}

func (r *Reconciler) isAutoscaled(ctx context.Context, c *mkev1.MGCCluster) (bool, error) {
	pools := &mkev1.MGCNodePoolList{}
	if err := r.Client.List(ctx, pools, client.InNamespace(c.Namespace)); err != nil {
		return false, err
	}
	for i := range pools.Items {
		p := &pools.Items[i]
		if p.Spec.ClusterRef.Name == c.Name && p.Spec.AutoScale != nil && p.DeletionTimestamp.IsZero() {
			return true, nil
		}
	}
	return false, nil
}

// removeAutoscaler ends the autoscaler and says whether it has; then its identity goes. It does nothing if there is none.
func (r *Reconciler) removeAutoscaler(ctx context.Context, c *mkev1.MGCCluster) (ended bool, err error) {
	objects := desiredAutoscaler(c, r.Image, r.AutoscalerArgs)
	deployment := objects[len(objects)-1]
	// In the foreground: it exists until its Pod has ended, and that is an event.
	exists, err := r.deleteCached(ctx, deployment, client.PropagationPolicy(metav1.DeletePropagationForeground))
	if err != nil || exists {
		return false, err
	}
	for _, o := range objects[:len(objects)-1] {
		if _, err := r.deleteCached(ctx, o); err != nil {
			return false, err
		}
	}
	return true, nil
}

// deleteCached deletes an object that the cache has and says whether it had it.
func (r *Reconciler) deleteCached(ctx context.Context, o client.Object, options ...client.DeleteOption) (exists bool, err error) {
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	if !o.GetDeletionTimestamp().IsZero() {
		return true, nil
	}
	return true, client.IgnoreNotFound(r.Client.Delete(ctx, o, options...))
}

// desiredAutoscaler is what the autoscaler consists of; the Deployment is the last of it.
func desiredAutoscaler(c *mkev1.MGCCluster, image string, args []string) []client.Object {
	deployment := component(c, autoscalerName, image, "64Mi", append([]string{
		"autoscaler",
		"--kubeconfig=" + kubeconfigDir + "/" + secret.KubeconfigDataName,
		fmt.Sprintf("--node-group-auto-discovery=clusterapi:namespace=%s,clusterName=%s", c.Namespace, c.Name),
	}, args...), kubeconfigMount(c))
	pod := &deployment.Spec.Template.Spec
	// Plans for tens of thousands of Pods leave much garbage behind: half of the memory, for little time.
	pod.Containers[0].Env = []corev1.EnvVar{{Name: "GOGC", Value: "50"}}
	pod.ServiceAccountName, pod.AutomountServiceAccountToken = autoscalerName, ptr.To(true)
	return []client.Object{
		&corev1.ServiceAccount{ObjectMeta: componentMeta(c, autoscalerName)},
		&rbacv1.RoleBinding{
			ObjectMeta: componentMeta(c, autoscalerName),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: autoscalerName},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: c.Namespace, Name: autoscalerName}},
		},
		deployment,
	}
}
