// Package provider is CAPMGK, Cluster API's infrastructure provider for Magalu Cloud.
package provider

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/logging"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/provider/cluster"
	"magalu.cloud/mke/internal/provider/machine"
	"magalu.cloud/mke/internal/provider/template"
)

// Options of the provider.
type Options struct {
	Kubeconfig         string
	CloudEndpoint      string
	CloudCAFile        string
	ManagementCIDRs    []string
	ClusterConcurrency int
	MachineConcurrency int
	QPS                float32
	Burst              int
	HealthAddr         string
	MetricsAddr        string
	LeaderElect        bool
	LogLevel           string
}

// NewCommand returns `mke provider`.
func NewCommand() *cobra.Command {
	var o Options
	cmd := &cobra.Command{
		Use:           "provider",
		Short:         "Run CAPMGK, Cluster API's infrastructure provider for Magalu Cloud",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return Run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig of the management cluster (default: the Pod's service account)")
	f.StringVar(&o.CloudEndpoint, "cloud-endpoint", os.Getenv("MKE_CLOUD_ENDPOINT"), "base URL of the region's products, for clusters whose credentials name none")
	f.StringVar(&o.CloudCAFile, "cloud-ca-file", os.Getenv("MKE_CLOUD_CA_FILE"), "PEM file of the CA that signs the cloud's certificate (default: the system's)")
	f.StringSliceVar(&o.ManagementCIDRs, "management-cidrs", nil, "addresses of the management cluster, always let through to API servers")
	f.IntVar(&o.ClusterConcurrency, "mgkcluster-concurrency", 10, "MGKClusters reconciled at the same time")
	f.IntVar(&o.MachineConcurrency, "mgkmachine-concurrency", 20, "MGKMachines reconciled at the same time")
	f.Float32Var(&o.QPS, "kube-api-qps", 100, "calls per second to the management cluster")
	f.IntVar(&o.Burst, "kube-api-burst", 200, "calls at once to the management cluster")
	f.StringVar(&o.HealthAddr, "health-addr", ":8081", "address of /healthz and /readyz")
	f.StringVar(&o.MetricsAddr, "metrics-addr", ":8082", "address of /metrics")
	f.BoolVar(&o.LeaderElect, "leader-elect", false, "let only one of several replicas work")
	f.StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

// Run serves until ctx ends.
func Run(ctx context.Context, o Options) error {
	if err := setUpLogging(o.LogLevel); err != nil {
		return err
	}
	for _, cidr := range o.ManagementCIDRs {
		if _, err := netip.ParsePrefix(cidr); err != nil {
			return fmt.Errorf("--management-cidrs: %w", err)
		}
	}
	config, err := managementConfig(o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("management cluster: %w", err)
	}
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	if err := setUpControllers(ctx, mgr, o); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// managementConfig reads a kubeconfig, or the Pod's service account without one.
func managementConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}

func setUpLogging(level string) error {
	logger, err := logging.New(level)
	if err != nil {
		return err
	}
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	return nil
}

// NewScheme returns a scheme with all kinds that the provider reads and writes.
func NewScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, clusterv1.AddToScheme, infrav1.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	return scheme, nil
}

func newManager(config *rest.Config, o Options) (ctrl.Manager, error) {
	scheme, err := NewScheme()
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = o.QPS, o.Burst
	config.UserAgent = "mke-provider"
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cache.Options{DefaultTransform: cache.TransformStripManagedFields()},
		HealthProbeBindAddress:        o.HealthAddr,
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddr},
		LeaderElection:                o.LeaderElect,
		LeaderElectionID:              "mke-provider",
		LeaderElectionReleaseOnCancel: true,
		// The priority queue of controller-runtime v0.23 may hang when it is shut down (its issue 3538), and the lease then stays.
		Controller: ctrlconfig.Controller{UsePriorityQueue: ptr.To(false)},
	})
	if err != nil {
		return nil, err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("ping", healthz.Ping)
}

func setUpControllers(ctx context.Context, mgr ctrl.Manager, o Options) error {
	hc, err := mgc.NewHTTPClient(o.CloudCAFile)
	if err != nil {
		return err
	}
	clients := &cloud.Clients{Cached: mgr.GetClient(), Live: mgr.GetAPIReader(), Endpoint: o.CloudEndpoint, HTTP: hc}
	clusters := &cluster.Reconciler{Client: mgr.GetClient(), Clients: clients, Poller: cloud.NewPoller(), ManagementCIDRs: o.ManagementCIDRs}
	if err := clusters.SetupWithManager(ctx, mgr, o.ClusterConcurrency); err != nil {
		return fmt.Errorf("MGKCluster controller: %w", err)
	}
	machines := &machine.Reconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clients: clients, Poller: cloud.NewPoller()}
	if err := machines.SetupWithManager(ctx, mgr, o.MachineConcurrency); err != nil {
		return fmt.Errorf("MGKMachine controller: %w", err)
	}
	templates := &template.Reconciler{Client: mgr.GetClient(), Catalog: catalog.Default().WithHollow()}
	if err := templates.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("MGKMachineTemplate controller: %w", err)
	}
	return nil
}
