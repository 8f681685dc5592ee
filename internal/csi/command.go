// Package csi is MGC-CSI, the driver of Magalu Cloud's block storage for Kubernetes: a controller beside each control plane, which
// holds the cluster's credential, and a plugin on every node, which holds none.
package csi

import (
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/csi/controller"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/csi/node"
	"magalu.cloud/mke/internal/logging"
)

// NewCommand returns `mke csi`.
func NewCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "csi",
		Short:         "Run MGC-CSI, the driver of block storage volumes",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	var logLevel string
	cmd.PersistentFlags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return setUpLogging(logLevel) }
	cmd.AddCommand(newControllerCommand(), newNodeCommand())
	return cmd
}

func newControllerCommand() *cobra.Command {
	var o controller.Options
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Create, delete, attach and extend volumes of one cluster in the cloud",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return controller.Run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Endpoint, "endpoint", "unix:///csi/csi.sock", "socket for the sidecars")
	f.StringVar(&o.ClusterID, "cluster-id", "", "id of the cluster, its first 8 characters mark its volumes in the cloud")
	f.StringVar(&o.CloudEndpoint, "cloud-endpoint", os.Getenv("MKE_CLOUD_ENDPOINT"), "base URL of the region's products")
	f.StringVar(&o.CloudCAFile, "cloud-ca-file", os.Getenv("MKE_CLOUD_CA_FILE"), "PEM file of the CA that signs the cloud's certificate (default: the system's)")
	f.StringVar(&o.CredentialsDir, "credentials-dir", "", "folder with the file api-key, read again when it changes")
	f.StringVar(&o.HealthAddr, "health-addr", ":8081", "address of /healthz and /readyz")
	f.StringVar(&o.MetricsAddr, "metrics-addr", ":8082", "address of /metrics")
	for _, name := range []string{"cluster-id", "credentials-dir"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
	return cmd
}

func newNodeCommand() *cobra.Command {
	var o node.Options
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Format, mount and grow volumes on this node",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return node.Run(cmd.Context(), o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.Endpoint, "endpoint", "unix:///csi/csi.sock", "socket for the kubelet")
	f.StringVar(&o.KubeletSocket, "kubelet-socket", "/var/lib/kubelet/plugins/"+driver.Name+"/csi.sock", "where the kubelet finds that socket")
	f.StringVar(&o.RegistrationDir, "registration-dir", "/registration", "the kubelet's folder of plugins")
	f.StringVar(&o.MetadataURL, "metadata-url", "http://169.254.169.254/openstack/latest/meta_data.json", "where the VM learns its id and zone")
	f.Int64Var(&o.MaxVolumes, "max-volumes", driver.MaxVolumes, "how many volumes the cloud plugs into one VM")
	return cmd
}

// setUpLogging also catches what libraries say through klog.
func setUpLogging(level string) error {
	logger, err := logging.New(level)
	if err != nil {
		return err
	}
	slog.SetDefault(logger)
	klog.SetSlogLogger(logger)
	return nil
}
