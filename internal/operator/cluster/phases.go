package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/secret"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/operator/apply"
	"magalu.cloud/mke/internal/operator/credentials"
	"magalu.cloud/mke/internal/operator/object"
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
	existing, err := object.Get(ctx, r.Client, key, &corev1.Secret{})
	if err == nil && existing == nil {
		// The cache may not have seen our own Secret yet, and the key in it must not be revoked.
		existing, err = object.Get(ctx, r.Live, key, &corev1.Secret{})
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	if refused, err := r.keyRefused(ctx, s); err != nil || (existing != nil && !refused) {
		return ctrl.Result{}, err
	}
	c, err := r.Cloud(s.mgc.Spec.TenantID)
	if err != nil {
		return ctrl.Result{}, err
	}
	iam := c.IAM
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

// keyRefused says whether the cloud refuses the cluster's key to the provider. In a deletion the machines see it first: the rest
// waits for them.
func (r *Reconciler) keyRefused(ctx context.Context, s *scope) (bool, error) {
	refused := func(o conditions.Getter) bool {
		return conditions.GetReason(o, infrav1.CloudReachableCondition) == "Unauthorized"
	}
	if s.infra != nil && refused(s.infra) {
		return true, nil
	}
	machines := &infrav1.MGKMachineList{}
	if err := r.Client.List(ctx, machines, client.InNamespace(s.mgc.Namespace), client.MatchingLabels{clusterv1.ClusterNameLabel: s.mgc.Name},
		client.UnsafeDisableDeepCopy); err != nil {
		return false, err
	}
	return slices.ContainsFunc(machines.Items, func(m infrav1.MGKMachine) bool { return refused(&m) }), nil
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
	if !s.hasCredential() {
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

// reconcileAddons makes the MGCAddons of all addons. Which of them are enabled, and with what settings, is the customer's: those
// fields belong to mke-api.
func (r *Reconciler) reconcileAddons(ctx context.Context, s *scope) (ctrl.Result, error) {
	if !s.hasCredential() {
		return ctrl.Result{}, nil
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, a := range catalog.Addons() {
		g.Go(func() error { return apply.Apply(ctx, r.Client, desiredAddon(s.mgc, a.Name)) })
	}
	return ctrl.Result{}, g.Wait()
}

// reconcileAPIServer waits for the first answer of the API server, for which the addons wait, and tells the control plane
// provider when kubeadm is done.
func (r *Reconciler) reconcileAPIServer(ctx context.Context, s *scope) (ctrl.Result, error) {
	if s.cluster == nil || s.controlPlane == nil || !s.cluster.Spec.ControlPlaneEndpoint.IsValid() || !anyProvisioned(s.machines) || initialized(s) {
		return ctrl.Result{}, nil
	}
	if apply.Woken(s.controlPlane, kubeadmDone) {
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
	if done, err := c.KubeadmDone(ctx); err != nil || !done {
		return again, nil //nolint:nilerr // asked again
	}
	return r.wake(ctx, s.controlPlane, kubeadmDone)
}

func (r *Reconciler) wake(ctx context.Context, obj client.Object, event string) (ctrl.Result, error) {
	again, err := apply.Wake(ctx, r.Client, obj, event)
	return ctrl.Result{RequeueAfter: again}, err
}

// kubeadmDone is the event that the control plane provider polls for every 20 s.
const kubeadmDone = "kubeadm-done"

func anyProvisioned(machines []clusterv1.Machine) bool {
	for i := range machines {
		if conditions.IsTrue(&machines[i], clusterv1.MachineInfrastructureReadyCondition) {
			return true
		}
	}
	return false
}
