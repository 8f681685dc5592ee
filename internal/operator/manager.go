package operator

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/operator/addon"
	"magalu.cloud/mke/internal/operator/addons"
	"magalu.cloud/mke/internal/operator/cluster"
	"magalu.cloud/mke/internal/operator/nodepool"
	"magalu.cloud/mke/internal/operator/workload"
	"magalu.cloud/mke/internal/provider/cloud"
)

const (
	leaseName = "mke-operator"
	// csiImage of the CSI driver, the same beside a cluster and in it.
	csiImage = "mke.local/mgc-csi:v0.1.0"
	// concurrency of each controller. Most of a reconciliation is waiting for an answer.
	concurrency = 20
	// Retries after errors, per object.
	firstRetry, slowestRetry = 100 * time.Millisecond, 30 * time.Second
)

// NewScheme knows every kind that the operator handles.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, mkev1.AddToScheme, infrav1.AddToScheme, clusterv1.AddToScheme, bootstrapv1.AddToScheme, controlplanev1.AddToScheme,
	} {
		utilruntime.Must(add(s))
	}
	return s
}

// NewManager returns a manager with all controllers, ready to start.
func NewManager(cfg *rest.Config, o Options) (ctrl.Manager, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 100, 200
	scheme := NewScheme()
	ofClusters, err := labels.Parse(mkev1.ClusterIDLabel)
	if err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: scheme,
		Cache: cache.Options{
			DefaultTransform: cache.TransformStripManagedFields(),
			// Cluster API's Secrets and other people's Deployments are none of our business.
			ByObject: map[client.Object]cache.ByObject{
				&corev1.Secret{}:         {Label: ofClusters},
				&appsv1.Deployment{}:     {Label: ofClusters},
				&corev1.ServiceAccount{}: {Label: ofClusters},
				&rbacv1.RoleBinding{}:    {Label: ofClusters},
			},
		},
		Metrics:                       server.Options{BindAddress: o.MetricsAddress},
		HealthProbeBindAddress:        o.HealthAddress,
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              leaseName,
		LeaderElectionReleaseOnCancel: true,
		// The priority queue of controller-runtime v0.23 may hang when it is shut down (its issue 3538), and the lease then stays.
		Controller: ctrlconfig.Controller{SkipNameValidation: &o.manyInProcess, UsePriorityQueue: ptr.To(false)},
	})
	if err != nil {
		return nil, err
	}
	live, err := client.New(cfg, client.Options{Scheme: scheme, HTTPClient: mgr.GetHTTPClient(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return nil, err
	}
	if err := addControllers(mgr, live, o); err != nil {
		return nil, err
	}
	// These are only read, not watched: without this, the first cluster would wait for their caches.
	for _, o := range []client.Object{&infrav1.MGKMachineTemplate{}, &bootstrapv1.KubeadmConfigTemplate{}, &bootstrapv1.KubeadmConfig{}, &clusterv1.MachineHealthCheck{},
		&corev1.ServiceAccount{}, &rbacv1.RoleBinding{}} {
		if _, err := mgr.GetCache().GetInformer(context.Background(), o, cache.BlockUntilSynced(false)); err != nil {
			return nil, err
		}
	}
	for _, add := range []func(string, healthz.Checker) error{mgr.AddHealthzCheck, mgr.AddReadyzCheck} {
		if err := add("ping", healthz.Ping); err != nil {
			return nil, err
		}
	}
	return mgr, nil
}

func addControllers(mgr ctrl.Manager, live client.Client, o Options) error {
	var ca []byte
	var err error
	if o.CloudCAFile != "" {
		if ca, err = os.ReadFile(o.CloudCAFile); err != nil {
			return fmt.Errorf("read the cloud's CA: %w", err)
		}
	}
	hc, err := mgc.NewHTTPClient(o.CloudCAFile)
	if err != nil {
		return err
	}
	options := func() controller.Options {
		return controller.Options{
			MaxConcurrentReconciles: concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](firstRetry, slowestRetry),
		}
	}
	clusters := &cluster.Reconciler{
		Client:        mgr.GetClient(),
		Live:          live,
		Cloud:         tenantCloud(o, hc),
		Poller:        cloud.NewPoller(),
		Workload:      &workload.Connector{Reader: live},
		Region:        o.Region,
		CloudEndpoint: o.CloudEndpoint,
		CloudCA:       ca,
		Image:         o.Image,
		NodeImage:     o.NodeImage,

		AutoscalerArgs: o.AutoscalerArgs,
	}
	if err := clusters.SetupWithManager(mgr, options()); err != nil {
		return err
	}
	components := &addon.Reconciler{
		Client: mgr.GetClient(), Live: live, Workload: clusters.Workload, Region: o.Region,
		Platform: addons.Values{CloudEndpoint: o.CloudEndpoint, HasCloudCA: len(ca) > 0, Image: o.Image, CSIImage: csiImage},
	}
	if err := components.SetupWithManager(mgr, options()); err != nil {
		return err
	}
	pools := &nodepool.Reconciler{Client: mgr.GetClient(), Live: live, NodeImage: o.NodeImage}
	return pools.SetupWithManager(mgr, options())
}

// tenantCloud acts for a tenant with the platform's key. The file is read each time: the key may be renewed.
func tenantCloud(o Options, hc *http.Client) func(string) (*mgc.Client, error) {
	return func(tenantID string) (*mgc.Client, error) {
		key, err := os.ReadFile(o.CloudAPIKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the platform's API key: %w", err)
		}
		return mgc.New(mgc.Config{
			Endpoint: o.CloudEndpoint, APIKey: strings.TrimSpace(string(key)), TenantID: tenantID, UserAgent: leaseName, HTTPClient: hc,
		})
	}
}
