// Package operator is `mke operator`: the controllers behind MGCCluster and MGCNodePool.
package operator

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"magalu.cloud/mke/internal/logging"
)

// Options of the operator.
type Options struct {
	// Region whose clusters it manages.
	Region string
	// CloudEndpoint is the regional base URL of the cloud; CloudCAFile (PEM, may be empty) is trusted besides the system's roots.
	CloudEndpoint, CloudCAFile string
	// CloudAPIKeyFile holds the platform's API key, which acts for every tenant.
	CloudAPIKeyFile string
	// Image of the components that run beside a customer's cluster.
	Image string
	// NodeImage is the name of the VMs' image; {version} in it becomes the Kubernetes version.
	NodeImage string

	// AutoscalerArgs are further flags of customers' cluster autoscalers.
	AutoscalerArgs []string

	HealthAddress, MetricsAddress string
	LeaderElect                   bool

	// manyInProcess lets tests start the operator more than once.
	manyInProcess bool
}

// NewCommand returns `mke operator`. Every flag may come from the environment: --cloud-endpoint from MKE_CLOUD_ENDPOINT.
func NewCommand() *cobra.Command {
	var o Options
	var kubeconfig, logLevel string
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Run the controllers that turn MGCClusters and MGCNodePools into Cluster API objects",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.validate(); err != nil {
				return err
			}
			if err := setUpLogs(logLevel); err != nil {
				return err
			}
			cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				return fmt.Errorf("find the management cluster: %w", err)
			}
			mgr, err := NewManager(cfg, o)
			if err != nil {
				return err
			}
			return mgr.Start(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "kubeconfig of the management cluster (default: the Pod's service account)")
	f.StringVar(&o.Region, "region", fromEnv("region", ""), "region whose clusters are managed")
	f.StringVar(&o.CloudEndpoint, "cloud-endpoint", fromEnv("cloud-endpoint", ""), "regional base URL of the cloud, for example https://api.magalu.cloud/br-se1")
	f.StringVar(&o.CloudCAFile, "cloud-ca-file", fromEnv("cloud-ca-file", ""), "PEM file of the cloud's CA, if the system does not know it")
	f.StringVar(&o.CloudAPIKeyFile, "cloud-api-key-file", fromEnv("cloud-api-key-file", ""), "file with the platform's API key")
	f.StringVar(&o.Image, "image", fromEnv("image", ""), "image of the components beside a customer's cluster")
	f.StringVar(&o.NodeImage, "node-image", fromEnv("node-image", "cloud-mke-node-{version}"), "name of the VM image; {version} becomes the Kubernetes version")
	f.StringArrayVar(&o.AutoscalerArgs, "autoscaler-arg", nil, "further flag of customers' cluster autoscalers, for example --scale-down-unneeded-time=5m; may be repeated")
	f.StringVar(&o.HealthAddress, "health-addr", fromEnv("health-addr", ":8081"), "address of /healthz and /readyz")
	f.StringVar(&o.MetricsAddress, "metrics-addr", fromEnv("metrics-addr", ":8082"), "address of /metrics")
	f.BoolVar(&o.LeaderElect, "leader-elect", fromEnv("leader-elect", "") == "true", "work only while holding the lease, for more than one replica")
	f.StringVar(&logLevel, "log-level", fromEnv("log-level", "info"), "debug, info, warn or error")
	return cmd
}

func (o Options) validate() error {
	var missing []string
	for _, f := range []struct{ name, value string }{
		{"--region", o.Region}, {"--cloud-endpoint", o.CloudEndpoint}, {"--cloud-api-key-file", o.CloudAPIKeyFile},
		{"--image", o.Image}, {"--node-image", o.NodeImage},
	} {
		if f.value == "" {
			missing = append(missing, f.name)
		}
	}
	if len(missing) > 0 {
		return errors.New("these flags must be set: " + strings.Join(missing, ", "))
	}
	return nil
}

func fromEnv(flag, fallback string) string {
	if v := os.Getenv("MKE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))); v != "" {
		return v
	}
	return fallback
}

// setUpLogs sends all logs, Kubernetes' libraries included, as JSON to stderr.
func setUpLogs(level string) error {
	logger, err := logging.New(level)
	if err != nil {
		return err
	}
	slog.SetDefault(logger)
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetSlogLogger(logger)
	return nil
}
