package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/secret"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/operator/addons"
	"magalu.cloud/mke/internal/operator/apply"
	"magalu.cloud/mke/internal/operator/credentials"
	"magalu.cloud/mke/internal/operator/workload"
)

// Keys of the credentials Secret.
const (
	apiKeyKey    = "api-key"
	tenantKey    = "tenant-id"
	endpointKey  = "endpoint"
	accountIDKey = "service-account-id"
	caKey        = "ca.crt"
)

// probeInterval is how soon an API server that is starting is asked again. No event tells of its first answer. It grows with
// the age of the machines, so that a control plane that never comes up is not asked for ever at this pace.
func probeInterval(machines []clusterv1.Machine) time.Duration {
	const shortest, longest = 250 * time.Millisecond, 15 * time.Second
	wait := longest
	for _, m := range machines {
		wait = min(wait, time.Since(m.CreationTimestamp.Time)/40)
	}
	return max(wait, shortest)
}

// reconcileCredentials makes the service account and the key, once. The Secret is the only place that knows the key: if it is
// lost, or somebody revoked the key, older keys are revoked and a new one is made.
func (r *Reconciler) reconcileCredentials(ctx context.Context, s *scope) (ctrl.Result, error) {
	key := client.ObjectKey{Namespace: s.mgc.Namespace, Name: mkev1.CredentialsSecretName}
	existing, err := get(ctx, r.Client, key, &corev1.Secret{})
	if err == nil && existing == nil {
		// The cache may not have seen our own Secret yet, and the key in it must not be revoked.
		existing, err = get(ctx, r.Live, key, &corev1.Secret{})
	}
	refused := s.infra != nil && conditions.GetReason(s.infra, infrav1.CloudReachableCondition) == "Unauthorized"
	if err != nil || (existing != nil && !refused) {
		return ctrl.Result{}, err
	}
	iam, err := r.IAM(s.mgc.Spec.TenantID)
	if err != nil {
		return ctrl.Result{}, err
	}
	if existing != nil {
		identity, err := iam.Introspect(ctx, string(existing.Data[apiKeyKey]))
		if err != nil {
			s.credentialErr = err
			return cloudFailed(err)
		}
		if identity.Active { // refused for another reason: asking again is all that helps
			return ctrl.Result{RequeueAfter: unauthorizedRetry}, nil
		}
		ctrl.LoggerFrom(ctx).Info("The cluster's API key was revoked, making a new one")
	}
	issued, err := credentials.Issue(ctx, iam, s.mgc.Spec.ClusterID)
	if err != nil {
		s.credentialErr = err
		return cloudFailed(err)
	}
	data := r.credentialsData(s.mgc, issued)
	if existing != nil {
		existing = existing.DeepCopy()
		existing.Data = data
		return ctrl.Result{}, r.Client.Update(ctx, existing)
	}
	return ctrl.Result{}, r.Client.Create(ctx, credentialsSecret(s.mgc, data))
}

func (r *Reconciler) credentialsData(c *mkev1.MGCCluster, issued credentials.Key) map[string][]byte {
	data := map[string][]byte{
		apiKeyKey:    []byte(issued.APIKey),
		tenantKey:    []byte(c.Spec.TenantID),
		endpointKey:  []byte(r.CloudEndpoint),
		accountIDKey: []byte(issued.AccountID),
	}
	if len(r.CloudCA) > 0 {
		data[caKey] = r.CloudCA
	}
	return data
}

// cloudFailed decides when the cloud is asked again. A refused credential does not get better by asking often.
func cloudFailed(err error) (ctrl.Result, error) {
	if mgc.IsUnauthorized(err) {
		return ctrl.Result{RequeueAfter: unauthorizedRetry}, nil
	}
	if wait := mgc.RetryAfter(err); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	return ctrl.Result{}, err
}

// reconcileClusterAPI applies Cluster API's objects. The Cluster goes last: its controller waits half a minute if it does not
// find what the Cluster refers to.
func (r *Reconciler) reconcileClusterAPI(ctx context.Context, s *scope) (ctrl.Result, error) {
	if s.credentialErr != nil {
		return ctrl.Result{}, nil
	}
	template := desiredMachineTemplate(s.mgc, r.NodeImage)
	kcp := desiredControlPlane(s.mgc, template)
	for _, o := range []client.Object{desiredInfrastructure(s.mgc), template, kcp} {
		if err := apply.Apply(ctx, r.Client, o); err != nil {
			return ctrl.Result{}, err
		}
	}
	if s.controlPlane == nil {
		// The control plane provider would make them only after the load balancer is there.
		certificates := secret.NewCertificatesForInitialControlPlane(&kcp.Spec.KubeadmConfigSpec.ClusterConfiguration)
		if err := certificates.LookupOrGenerate(ctx, r.Live, client.ObjectKeyFromObject(s.mgc), ownerReference(s.mgc)); err != nil {
			return ctrl.Result{}, err
		}
	}
	return ctrl.Result{}, apply.Apply(ctx, r.Client, desiredCluster(s.mgc))
}

// reconcileCCM starts the cloud controller manager as soon as it has a kubeconfig; it waits for the API server by itself.
func (r *Reconciler) reconcileCCM(ctx context.Context, s *scope) (ctrl.Result, error) {
	if len(s.machines) == 0 { // the kubeconfig is made before the first machine
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, apply.Apply(ctx, r.Client, desiredCCM(s.mgc, r.Image, r.CloudEndpoint, len(r.CloudCA) > 0))
}

// reconcileAddons applies the addons the moment the API server answers, before there is any node, and tells the control plane
// provider when kubeadm is done.
func (r *Reconciler) reconcileAddons(ctx context.Context, s *scope) (ctrl.Result, error) {
	if s.cluster == nil || s.controlPlane == nil || !s.cluster.Spec.ControlPlaneEndpoint.IsValid() || !anyProvisioned(s.machines) {
		return ctrl.Result{}, nil
	}
	values := addonValues(s)
	revision, err := addonsRevision(values)
	if err != nil {
		return ctrl.Result{}, err
	}
	applied := s.mgc.Status.AddonsRevision == revision
	initialized := ptr.Deref(s.controlPlane.Status.Initialization.ControlPlaneInitialized, false)
	switch {
	case applied && initialized:
		return ctrl.Result{}, nil
	case applied && apply.Woken(s.controlPlane, kubeadmDone):
		return r.wake(ctx, s.controlPlane, kubeadmDone)
	}
	again := ctrl.Result{RequeueAfter: probeInterval(s.machines)}
	c, err := r.Workload.Connect(ctx, client.ObjectKeyFromObject(s.mgc))
	if errors.Is(err, workload.ErrNoKubeconfig) {
		return again, nil
	} else if err != nil {
		return ctrl.Result{}, err
	}
	defer c.Close()
	if err := c.Answers(ctx); err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("API server does not answer yet", "reason", err.Error())
		return again, nil
	}
	s.apiAnswered = true
	if !applied {
		if err := applyAddons(ctx, c, values); err != nil {
			return ctrl.Result{}, fmt.Errorf("apply addons: %w", err)
		}
		s.mgc.Status.AddonsRevision = revision
		ctrl.LoggerFrom(ctx).Info("Addons applied", "revision", s.mgc.Status.AddonsRevision)
	}
	if initialized {
		return ctrl.Result{}, nil
	}
	if done, err := c.KubeadmDone(ctx); err != nil || !done {
		return again, nil //nolint:nilerr // asked again
	}
	return r.wake(ctx, s.controlPlane, kubeadmDone)
}

func (r *Reconciler) wake(ctx context.Context, obj client.Object, event string) (ctrl.Result, error) {
	again, err := apply.Wake(ctx, r.Client, obj, event)
	return ctrl.Result{RequeueAfter: again}, err
}

// addonValues are of the version that the whole control plane runs: kube-proxy must not be newer.
func addonValues(s *scope) addons.Values {
	version := s.controlPlane.Status.Version
	if version == "" {
		version = s.mgc.Spec.KubernetesVersion
	}
	return addons.Values{
		Host:              s.cluster.Spec.ControlPlaneEndpoint.Host,
		Port:              s.cluster.Spec.ControlPlaneEndpoint.Port,
		PodsCIDR:          s.mgc.Spec.PodsCIDR,
		KubernetesVersion: version,
	}
}

// kubeadmDone is the event that the control plane provider polls for every 20 s.
const kubeadmDone = "kubeadm-done"

var applied = []string{catalog.KubeProxy, catalog.Calico}

func addonsRevision(values addons.Values) (string, error) {
	var revisions []string
	for _, name := range applied {
		r, err := addons.Revision(name, values)
		if err != nil {
			return "", err
		}
		revisions = append(revisions, r)
	}
	return apply.Digest(revisions), nil
}

func applyAddons(ctx context.Context, c client.Client, values addons.Values) error {
	for _, name := range applied {
		objects, err := addons.Render(name, mkev1.InCluster, values)
		if err != nil {
			return err
		}
		if err := addons.Apply(ctx, c, objects); err != nil {
			return err
		}
	}
	return nil
}

func anyProvisioned(machines []clusterv1.Machine) bool {
	for i := range machines {
		if conditions.IsTrue(&machines[i], clusterv1.MachineInfrastructureReadyCondition) {
			return true
		}
	}
	return false
}
