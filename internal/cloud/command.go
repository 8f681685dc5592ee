package cloud

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/cloud/compute/hollow"
	"magalu.cloud/mke/internal/cloud/iam"
	"magalu.cloud/mke/internal/logging"
)

const defaultDataDir = "/var/lib/mke"

// NewCommand returns `mke cloud`.
func NewCommand() *cobra.Command {
	o := Options{}
	var bootstrap, level, pool, edge string
	cmd := &cobra.Command{
		Use:   "cloud",
		Short: "Run the local Magalu Cloud",
		Long: `Runs the local Magalu Cloud of this machine: compute, block storage, network, load
balancer, IAM and profile, with their published contracts over HTTPS. VMs, volumes, networks
and load balancers stay when it ends and are taken up again when it starts.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return errors.New("mke cloud makes machines and networks and must run as root")
			}
			var err error
			if o.Bootstrap, err = readBootstrap(bootstrap); err != nil {
				return err
			}
			if o.PublicPool, err = netip.ParsePrefix(pool); err != nil {
				return fmt.Errorf("--public-pool: %w", err)
			}
			if o.EdgeAddress, err = netip.ParseAddr(edge); err != nil {
				return fmt.Errorf("--edge-address: %w", err)
			}
			if err := CheckQuotas(o.Quotas); err != nil {
				return err
			}
			if o.Logger, err = logging.New(level); err != nil {
				return err
			}
			slog.SetDefault(o.Logger)
			if o.DataDir, err = filepath.Abs(o.DataDir); err != nil {
				return err
			}
			pki := filepath.Join(o.DataDir, "pki")
			o.TLSCert, o.TLSKey = cmp.Or(o.TLSCert, filepath.Join(pki, "cloud.crt")), cmp.Or(o.TLSKey, filepath.Join(pki, "cloud.key"))
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return Run(ctx, o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.DataDir, "data-dir", cmp.Or(os.Getenv("MKE_DATA_DIR"), defaultDataDir), "folder of all state (env MKE_DATA_DIR)")
	flags.StringVar(&o.Region, "region", "br-se1", "name of the region")
	flags.StringVar(&o.Listen, "listen", "198.18.0.1:8443", "HTTPS address; VMs must be able to reach it")
	flags.StringVar(&o.TLSCert, "tls-cert", "", "certificate file (default <data-dir>/pki/cloud.crt)")
	flags.StringVar(&o.TLSKey, "tls-key", "", "key file (default <data-dir>/pki/cloud.key)")
	flags.StringVar(&bootstrap, "bootstrap", "", "JSON file with the platform's API key and the tenants with theirs (required)")
	flags.StringVar(&pool, "public-pool", "198.18.0.0/16", "addresses of public IPs")
	flags.StringVar(&edge, "edge-address", "198.18.0.1", "this machine's address in the public pool")
	flags.StringToInt64Var(&o.Quotas, "quotas", nil, "what each tenant may have, name=limit: instances, volumes, volume_gib, public_ips, load_balancers; 0, or none: any number")
	flags.BoolVar(&o.Egress, "egress", false, "let VPCs reach the world through this machine")
	flags.Int64Var(&o.VolumeCapacity, "volume-capacity", 0, "GiB that all volumes and snapshots may have together; 0: four times the disk, for they take only what is written")
	flags.BoolVar(&o.FaultInjection, "fault-injection", false, "allow faults to be injected over the unix socket, for tests")
	flags.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	flags.StringVar(&o.Prefix, "prefix", "mke", "prefix of names in the kernel; another one only beside another region, for tests")
	_ = cmd.MarkFlagRequired("bootstrap") // the flag exists
	cmd.AddCommand(newExecCommand(), newSetPasswordCommand(), newSnapshotCommand(), newTeardownCommand(), hollow.NewCommand())
	return cmd
}

func readBootstrap(path string) (iam.Bootstrap, error) {
	var b iam.Bootstrap
	data, err := os.ReadFile(path)
	if err != nil {
		return b, fmt.Errorf("bootstrap: %w", err)
	}
	if err := json.Unmarshal(data, &b); err != nil {
		return b, fmt.Errorf("bootstrap: %s is not valid: %w", path, err)
	}
	return b, nil
}
