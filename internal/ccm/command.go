package ccm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	nodecontroller "k8s.io/cloud-provider/controllers/node"
	controllersmetrics "k8s.io/component-base/metrics/prometheus/controllers"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/logging"
	"magalu.cloud/mke/internal/mgc"
)

const (
	// refreshPeriod is how often addresses and labels of all Nodes are compared with the cloud.
	refreshPeriod = 5 * time.Minute
	// workers take up new Nodes. Most of the work is waiting for answers of the API server.
	workers = 20
)

// Options of the cloud controller manager.
type Options struct {
	Kubeconfig     string
	ClusterID      string
	CloudEndpoint  string
	CloudCAFile    string
	CredentialsDir string
	HealthAddr     string
	MetricsAddr    string
	LogLevel       string
}

// NewCommand returns `mke ccm`.
func NewCommand() *cobra.Command {
	var o Options
	cmd := &cobra.Command{
		Use:           "ccm",
		Short:         "Run MCCM, the cloud controller manager of one customer cluster",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := setUpLogging(o.LogLevel); err != nil {
				return err
			}
			return Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig of the customer cluster")
	f.StringVar(&o.ClusterID, "cluster-id", "", "id of the cluster, the mark of its VMs in the cloud")
	f.StringVar(&o.CloudEndpoint, "cloud-endpoint", os.Getenv("MKE_CLOUD_ENDPOINT"), "base URL of the region's products")
	f.StringVar(&o.CloudCAFile, "cloud-ca-file", os.Getenv("MKE_CLOUD_CA_FILE"), "PEM file of the CA that signs the cloud's certificate (default: the system's)")
	f.StringVar(&o.CredentialsDir, "credentials-dir", "", "folder with the file api-key, read again when it changes")
	f.StringVar(&o.HealthAddr, "health-addr", ":8081", "address of /healthz and /readyz")
	f.StringVar(&o.MetricsAddr, "metrics-addr", ":8082", "address of /metrics")
	f.StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
	for _, name := range []string{"kubeconfig", "cluster-id", "credentials-dir"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

// Run serves until ctx ends. There is one replica and no leader election: what it does twice does no harm, and a new one starts at once.
func Run(ctx context.Context, o Options) error {
	if o.ClusterID == "" {
		return errors.New("--cluster-id must not be empty: without it other clusters' VMs would be taken for this one's")
	}
	go serve(ctx, o.HealthAddr, healthHandler())
	go serve(ctx, o.MetricsAddr, promhttp.Handler())
	files := []string{o.Kubeconfig}
	if o.CloudCAFile != "" {
		files = append(files, o.CloudCAFile)
	}
	return whileUnchanged(ctx, reloadPeriod, files, func(ctx context.Context) error { return runOnce(ctx, o) })
}

// runOnce serves with the configuration of the moment.
func runOnce(ctx context.Context, o Options) error {
	provider, err := newProvider(o)
	if err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.Kubeconfig)
	if err != nil {
		return fmt.Errorf("customer cluster: %w", err)
	}
	config.UserAgent = "mke-ccm"
	config.QPS, config.Burst = 200, 400
	balancers, err := newLoadBalancers(o)
	if err != nil {
		return err
	}
	return runControllers(ctx, config, withLoadBalancers{provider, balancers})
}

func newProvider(o Options) (*Provider, error) {
	hc, err := mgc.NewHTTPClient(o.CloudCAFile)
	if err != nil {
		return nil, err
	}
	hc.Transport = limit(hc.Transport)
	c := &credentials{dir: o.CredentialsDir, endpoint: o.CloudEndpoint, http: hc}
	if _, err := c.connect(); err != nil {
		return nil, err
	}
	return &Provider{instances: &instances{connect: c.connect, label: "mke.cluster-id=" + o.ClusterID, now: time.Now}}, nil
}

// runControllers runs the node controller of k8s.io/cloud-provider and our own of Nodes' health. They are started without that module's
// own server, which wants delegated authentication and waits where nothing needs to be waited for.
func runControllers(ctx context.Context, config *rest.Config, provider withLoadBalancers) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := waitForAPI(ctx, client); err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactoryWithOptions(client, 12*time.Hour, informers.WithTransform(withoutManagedFields))
	leases := informers.NewSharedInformerFactoryWithOptions(client, 12*time.Hour,
		informers.WithNamespace(corev1.NamespaceNodeLease), informers.WithTransform(withoutManagedFields))
	nodes := factory.Core().V1().Nodes()
	node, err := nodecontroller.NewCloudNodeController(nodes, client, provider, refreshPeriod, workers)
	if err != nil {
		return fmt.Errorf("node controller: %w", err)
	}
	services, err := newServiceController(client, factory, provider)
	if err != nil {
		return err
	}
	health, err := newHealthController(client, factory, leases, provider.Provider)
	if err != nil {
		return fmt.Errorf("node health controller: %w", err)
	}
	for _, f := range []informers.SharedInformerFactory{factory, leases} {
		f.Start(ctx.Done())
		f.WaitForCacheSync(ctx.Done())
	}
	metrics := controllersmetrics.NewControllerManagerMetrics("mke-ccm")
	go node.RunWithContext(ctx, metrics)
	go services.Run(ctx, serviceWorkers, metrics)
	health.run(ctx)
	return nil
}

// waitForAPI asks often, because the cluster is usually being made at this moment and informers would back off for long.
func waitForAPI(ctx context.Context, client kubernetes.Interface) error {
	return wait.PollUntilContextCancel(ctx, 250*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		_, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err == nil, nil
	})
}

// withoutManagedFields saves memory.
func withoutManagedFields(o any) (any, error) {
	if accessor, err := meta.Accessor(o); err == nil {
		accessor.SetManagedFields(nil)
	}
	return o, nil
}

func setUpLogging(level string) error {
	logger, err := logging.New(level)
	if err != nil {
		return err
	}
	klog.SetSlogLogger(logger)
	return nil
}

func healthHandler() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) }
	mux.HandleFunc("/healthz", ok)
	mux.HandleFunc("/readyz", ok)
	return mux
}

func serve(ctx context.Context, addr string, handler http.Handler) {
	server := &http.Server{Addr: addr, Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		klog.ErrorS(err, "cannot serve", "addr", addr)
	}
}
