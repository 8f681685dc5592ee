package addon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/secret"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/addons"
	"magalu.cloud/mke/internal/operator/workload"
)

const (
	// resync is how often everything is written again, for changes that no event of ours shows.
	resync = time.Hour
	// recheck is for what no event tells about: objects that end, definitions that begin to be served.
	recheck = 500 * time.Millisecond
)

// reconcileObjects writes the addon's objects if anything is new about them, and removes those that are no longer wanted.
func (r *Reconciler) reconcileObjects(ctx context.Context, s *scope) (ctrl.Result, error) {
	s.reachable = conditions.IsTrue(s.mgc, mkev1.APIServerReadyCondition) && s.mgc.Status.ControlPlaneEndpoint.Host != ""
	if !s.reachable {
		return ctrl.Result{}, nil
	}
	if !s.entry.Essential && !conditions.IsTrue(s.mgc, mkev1.AddonsReadyCondition) && s.addon.Status.Revision == "" {
		s.reachable = false // a new cluster waits for the essential ones, which shall have the young API server for themselves
		return ctrl.Result{}, nil
	}
	values, err := r.values(s)
	if err != nil {
		return ctrl.Result{}, err
	}
	revision := ""
	if s.known && Enabled(s.mgc, s.entry, s.addon.Spec.State) {
		if revision, err = addons.Revision(s.addon.Name, values); err != nil {
			return ctrl.Result{}, err
		}
	}
	key := client.ObjectKeyFromObject(s.addon)
	left := r.targets.untouchedFor(key)
	if revision != s.addon.Status.Revision || left <= 0 {
		t, err := r.targets.connect(ctx, client.ObjectKeyFromObject(s.mgc))
		if errors.Is(err, workload.ErrNoKubeconfig) {
			return ctrl.Result{RequeueAfter: recheck}, nil
		} else if err != nil {
			return ctrl.Result{}, err
		}
		res, err := r.write(ctx, s, t, values, revision)
		if s.problem = err; err != nil || !res.IsZero() {
			return res, err
		}
		left = r.targets.untouchedFor(key)
	}
	s.pods = r.targets.rollout(ctx, s)
	return ctrl.Result{RequeueAfter: max(left, time.Millisecond)}, nil
}

// write applies the objects of a revision and removes all others. An empty revision has none.
func (r *Reconciler) write(ctx context.Context, s *scope, t pair, values addons.Values, revision string) (ctrl.Result, error) {
	objects := located{}
	var wanted []mkev1.AddonObject
	if revision != "" {
		for location := range t {
			rendered, err := addons.Render(s.addon.Name, location, values)
			if err != nil {
				return ctrl.Result{}, err
			}
			if location == mkev1.InManagement {
				own(s.mgc, rendered)
			}
			objects[location] = rendered
			wanted = append(wanted, addons.Inventory(location, rendered)...)
		}
	}
	if err := r.remember(ctx, s, wanted); err != nil {
		return ctrl.Result{}, err
	}
	key := client.ObjectKeyFromObject(s.addon)
	touched := r.targets.beginWrite(key)
	for location, rendered := range objects {
		err := addons.Apply(ctx, t[location], rendered)
		if addons.IsNotServedYet(err) {
			ctrl.LoggerFrom(ctx).Info("Waiting for a definition", "reason", err.Error())
			s.problem = err
			return ctrl.Result{RequeueAfter: recheck}, nil
		} else if err != nil {
			return ctrl.Result{}, fmt.Errorf("apply addon %s: %w", s.addon.Name, err)
		}
	}
	if s.addon.Status.Revision != revision {
		ctrl.LoggerFrom(ctx).Info("Addon applied", "revision", revision)
	}
	s.addon.Status.Revision, s.addon.Status.Version = revision, ""
	if revision != "" {
		s.addon.Status.Version = addons.Version(s.entry, values)
	}
	if res, err := prune(ctx, s, t, wanted); err != nil || !res.IsZero() {
		return res, err
	}
	due := time.Now().Add(wait.Jitter(resync, 0.2))
	return ctrl.Result{}, r.targets.endWrite(ctx, key, client.ObjectKeyFromObject(s.mgc), objects, touched, due)
}

// remember puts what is about to be written into the inventory first: nothing may exist that nobody would remove.
func (r *Reconciler) remember(ctx context.Context, s *scope, wanted []mkev1.AddonObject) error {
	var fresh []mkev1.AddonObject
	for _, o := range wanted {
		if !slices.Contains(s.addon.Status.Inventory, o) {
			fresh = append(fresh, o)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	before := s.addon.DeepCopy()
	s.addon.Status.Inventory = append(s.addon.Status.Inventory, fresh...)
	// A copy: the answer must not replace the status that this reconciliation is building.
	return r.Client.Status().Patch(ctx, s.addon.DeepCopy(), client.MergeFrom(before))
}

// prune removes what is in the inventory and not wanted.
func prune(ctx context.Context, s *scope, t pair, wanted []mkev1.AddonObject) (ctrl.Result, error) {
	left := slices.Clone(wanted)
	var res ctrl.Result
	for _, o := range slices.Backward(s.addon.Status.Inventory) {
		if slices.Contains(wanted, o) {
			continue
		}
		gone, err := addons.Remove(ctx, t[o.Location], s.addon.Name, o)
		if err != nil {
			return ctrl.Result{}, err
		}
		if !gone {
			left = append(left, o)
			res.RequeueAfter = recheck
		}
	}
	s.addon.Status.Inventory = left
	return res, nil
}

// own makes objects beside a cluster part of it.
func own(mgc *mkev1.MGCCluster, objects []*unstructured.Unstructured) {
	for _, o := range objects {
		labels := o.GetLabels()
		labels[clusterv1.ClusterNameLabel] = mgc.Name
		labels[mkev1.ClusterIDLabel] = mgc.Spec.ClusterID
		o.SetLabels(labels)
		o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: mkev1.GroupVersion.String(), Kind: "MGCCluster", Name: mgc.Name, UID: mgc.UID}})
	}
}

func (r *Reconciler) values(s *scope) (addons.Values, error) {
	services, err := netip.ParsePrefix(s.mgc.Spec.ServicesCIDR)
	if err != nil {
		return addons.Values{}, fmt.Errorf("network of services: %w", err)
	}
	dns := services.Masked().Addr()
	for range 10 {
		dns = dns.Next()
	}
	spec, v := s.mgc.Spec, r.Platform
	v.ClusterID, v.ClusterIDShort, v.ClusterName = spec.ClusterID, spec.ClusterID[:min(8, len(spec.ClusterID))], s.mgc.Name
	v.TenantID, v.Region, v.Namespace = spec.TenantID, spec.Region, s.mgc.Namespace
	v.Host, v.Port = s.mgc.Status.ControlPlaneEndpoint.Host, s.mgc.Status.ControlPlaneEndpoint.Port
	v.PodsCIDR, v.ServicesCIDR, v.DNSAddress = spec.PodsCIDR, spec.ServicesCIDR, dns.String()
	// What the whole control plane runs: kube-proxy must not be newer.
	if v.KubernetesVersion = s.mgc.Status.Version; v.KubernetesVersion == "" {
		v.KubernetesVersion = spec.KubernetesVersion
	}
	v.KubeconfigSecret, v.CredentialsSecret = secret.Name(s.mgc.Name, secret.Kubeconfig), mkev1.CredentialsSecretName
	return v.WithConfig(s.entry, s.addon.Spec.Values), nil
}

// reconcileDelete stops what the addon runs beside the cluster. What is in the customer's cluster goes with it; if only the
// MGCAddon goes, by mistake, the cluster keeps its addon and the next MGCAddon finds it.
func (r *Reconciler) reconcileDelete(ctx context.Context, s *scope) (ctrl.Result, error) {
	if !controllerutil.ContainsFinalizer(s.addon, mkev1.AddonFinalizer) {
		return ctrl.Result{}, nil
	}
	gone := true
	if s.mgc == nil || !s.mgc.DeletionTimestamp.IsZero() {
		r.targets.drop(client.ObjectKey{Namespace: s.addon.Namespace, Name: s.addon.Spec.ClusterRef.Name})
		for _, o := range s.addon.Status.Inventory {
			if o.Location != mkev1.InManagement {
				continue
			}
			g, err := addons.Remove(ctx, r.Live, s.addon.Name, o)
			if err != nil {
				return ctrl.Result{}, err
			}
			gone = gone && g
		}
	}
	if !gone {
		return ctrl.Result{RequeueAfter: recheck}, nil
	}
	r.targets.forget(client.ObjectKeyFromObject(s.addon))
	before := s.addon.DeepCopy()
	controllerutil.RemoveFinalizer(s.addon, mkev1.AddonFinalizer)
	return ctrl.Result{}, client.IgnoreNotFound(r.Client.Patch(ctx, s.addon, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}
