package nodepool

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util"
	"sigs.k8s.io/cluster-api/util/conditions"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/apply"
	"magalu.cloud/mke/internal/operator/object"
)

// controlPlaneInitialized is the event that the bootstrap provider polls for every 30 s.
const controlPlaneInitialized = "control-plane-initialized"

// reconcileMachines applies Cluster API's objects as soon as there is a Cluster. Its machines wait by themselves for the
// control plane, and are further then than machines made only later.
func (r *Reconciler) reconcileMachines(ctx context.Context, s *scope) error {
	if s.mgc == nil || s.cluster == nil || !s.mgc.DeletionTimestamp.IsZero() || !s.cluster.DeletionTimestamp.IsZero() {
		return nil
	}
	if s.deployment == nil {
		// The cache may not have seen our own MachineDeployment yet, and the first number of machines must not be applied again.
		var err error
		if s.deployment, err = object.Get(ctx, r.Live, client.ObjectKeyFromObject(s.pool), &clusterv1.MachineDeployment{}); err != nil {
			return err
		}
	}
	neverCame, next := overdue(s, time.Now())
	s.again = next
	infra, bootstrap := desiredMachineTemplate(s, r.NodeImage), desiredBootstrapTemplate(s)
	for _, o := range []client.Object{infra, bootstrap, desiredDeployment(s, infra, bootstrap), desiredHealthCheck(s, neverCame)} {
		if err := apply.Apply(ctx, r.Client, o); err != nil {
			return err
		}
	}
	return nil
}

// reconcileGone replaces machines whose VM does not exist any more, at once and however many they are. The health check, which judges
// by Nodes, must be careful when many fail at once; here the cloud itself has said that there is nothing left to be careful about.
func (r *Reconciler) reconcileGone(ctx context.Context, s *scope) error {
	gone := map[string]bool{}
	for i := range s.instances {
		if conditions.GetReason(&s.instances[i], infrav1.InstanceReadyCondition) == infrav1.InstanceGoneReason {
			gone[s.instances[i].Name] = true
		}
	}
	for i := range s.machines {
		m := &s.machines[i]
		if !gone[m.Spec.InfrastructureRef.Name] || !m.DeletionTimestamp.IsZero() {
			continue
		}
		ctrl.LoggerFrom(ctx).Info("Replacing a machine whose VM is gone", "machine", m.Name)
		if err := r.Client.Delete(ctx, m, client.Preconditions{UID: &m.UID}); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// lateInitialized is how much later than the control plane was initialized the bootstrap provider may have looked at a stale cache.
const lateInitialized = 15 * time.Second

// reconcileBootstrap tells machines that wait for the control plane that they may join. Those that were made later have never waited.
func (r *Reconciler) reconcileBootstrap(ctx context.Context, s *scope) error {
	if s.cluster == nil || !ptr.Deref(s.cluster.Status.Initialization.ControlPlaneInitialized, false) {
		return nil
	}
	latest := time.Now()
	if since := conditions.GetLastTransitionTime(s.cluster, clusterv1.ClusterControlPlaneInitializedCondition); since != nil {
		latest = since.Add(lateInitialized)
	}
	for i := range s.configs {
		c := &s.configs[i]
		if ptr.Deref(c.Status.Initialization.DataSecretCreated, false) || c.CreationTimestamp.After(latest) {
			continue
		}
		again, err := apply.Wake(ctx, r.Client, c, controlPlaneInitialized)
		if err != nil {
			return err
		}
		s.again = util.LowestNonZeroResult(ctrl.Result{RequeueAfter: again}, ctrl.Result{RequeueAfter: s.again}).RequeueAfter
	}
	return nil
}

// reconcileOldTemplates deletes templates of earlier machine types and settings once no machine set can need them.
func (r *Reconciler) reconcileOldTemplates(ctx context.Context, s *scope) error {
	if s.deployment == nil || !settled(s) || s.deployment.Status.ObservedGeneration != s.deployment.Generation {
		return nil
	}
	template := s.deployment.Spec.Template.Spec
	return r.deleteTemplates(ctx, s, template.InfrastructureRef.Name, template.Bootstrap.ConfigRef.Name)
}

// deleteTemplates deletes the pool's templates except those with the given names.
func (r *Reconciler) deleteTemplates(ctx context.Context, s *scope, keep ...string) error {
	var infra infrav1.MGKMachineTemplateList
	var bootstrap bootstrapv1.KubeadmConfigTemplateList
	var all []client.Object
	ofPool := []client.ListOption{client.InNamespace(s.pool.Namespace), client.MatchingLabels{mkev1.NodePoolLabel: s.pool.Name}}
	for _, list := range []client.ObjectList{&infra, &bootstrap} {
		if err := r.Client.List(ctx, list, ofPool...); err != nil {
			return err
		}
	}
	for i := range infra.Items {
		all = append(all, &infra.Items[i])
	}
	for i := range bootstrap.Items {
		all = append(all, &bootstrap.Items[i])
	}
	for _, o := range all {
		if slices.Contains(keep, o.GetName()) {
			continue
		}
		if err := r.Client.Delete(ctx, o); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}

// settled is true when the pool has its machines, all of the current kind.
func settled(s *scope) bool {
	d := s.deployment
	n := ptr.Deref(d.Spec.Replicas, 0)
	return ptr.Deref(d.Status.Replicas, -1) == n && ptr.Deref(d.Status.UpToDateReplicas, -1) == n && len(s.machines) == int(n)
}

// reconcileDelete removes the pool's machines and then what describes them. Other pools do not matter.
func (r *Reconciler) reconcileDelete(ctx context.Context, s *scope) error {
	if !controllerutil.ContainsFinalizer(s.pool, mkev1.NodePoolFinalizer) {
		return nil
	}
	key := metav1.ObjectMeta{Namespace: s.pool.Namespace, Name: s.pool.Name}
	// The health check first: nobody shall replace what is being removed.
	for _, o := range []client.Object{&clusterv1.MachineHealthCheck{ObjectMeta: key}, &clusterv1.MachineDeployment{ObjectMeta: key}} {
		live, err := object.Get(ctx, r.Live, client.ObjectKeyFromObject(o), o)
		if err != nil {
			return err
		}
		if live == nil || !live.GetDeletionTimestamp().IsZero() {
			continue
		}
		if err := r.Client.Delete(ctx, live); client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	// The MachineDeployment stays until its last machine is gone.
	live, err := object.Get(ctx, r.Live, client.ObjectKeyFromObject(s.pool), &clusterv1.MachineDeployment{})
	if err != nil || live != nil {
		return err
	}
	if err := r.deleteTemplates(ctx, s); err != nil {
		return err
	}
	controllerutil.RemoveFinalizer(s.pool, mkev1.NodePoolFinalizer)
	return nil
}
