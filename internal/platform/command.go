package platform

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// NewCommands returns `mke up`, `mke down`, `mke status`, `mke backup`, `mke restore` and `mke drift`. checkQuotas refuses what the local
// cloud would not start with.
func NewCommands(version string, checkQuotas func(map[string]int64) error) []*cobra.Command {
	return []*cobra.Command{newUp(checkQuotas), newDown(), newStatus(version), newBackup(version), newRestore(), newDrift()}
}

// maxReplicas is what the chart allows.
const maxReplicas = 10

func dataDirFlag(cmd *cobra.Command, dataDir *string) {
	def := DefaultDataDir
	if env := os.Getenv("MKE_DATA_DIR"); env != "" {
		def = env
	}
	cmd.Flags().StringVar(dataDir, "data-dir", def, "folder of all state (env MKE_DATA_DIR)")
}

func newUp(checkQuotas func(map[string]int64) error) *cobra.Command {
	o := Options{Out: os.Stdout}
	var noDemo bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Bring a region up on this machine",
		Long: `Bring a region up on this machine: build what is missing, start the local Magalu Cloud, make the management cluster,
install the platform in it, and create the cluster meu-cluster with nginx in it.

It is safe to run again: what exists is kept, what is missing or half made is completed. Ctrl-C stops at the current step;
run it again to go on, or run "mke down" to remove everything.`,
		Example: `  mke up
  mke up --no-demo
  mke up --management-kubeconfig ~/.kube/config
  mke up --quotas instances=20,volumes=50`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			if o.Replicas < 1 || o.Replicas > maxReplicas {
				return fmt.Errorf("--replicas %d: choose 1 to %d", o.Replicas, maxReplicas)
			}
			for _, arg := range o.AutoscalerArgs {
				if !strings.HasPrefix(arg, "--") {
					return fmt.Errorf("--autoscaler-arg %s: give a flag with its value, such as --scale-down-unneeded-time=1m", arg)
				}
			}
			if err := checkQuotas(o.Quotas); err != nil {
				return err
			}
			o.BinDir, o.Demo = filepath.Dir(exe), !noDemo
			err = Up(cmd.Context(), o)
			if cmd.Context().Err() != nil {
				return errors.New("stopped; run `mke up` to go on or `mke down` to remove what is there")
			}
			return err
		},
	}
	dataDirFlag(cmd, &o.DataDir)
	cmd.Flags().StringVar(&o.Region, "region", "br-se1", "name of the region")
	cmd.Flags().StringVar(&o.ManagementKubeconfig, "management-kubeconfig", "", "use this Kubernetes cluster as the management cluster instead of the region's first VM")
	cmd.Flags().IntVar(&o.Replicas, "replicas", 1, "replicas of the gateway and of the API")
	cmd.Flags().BoolVar(&o.Hollow, "hollow", true, "offer flavors of hollow VMs (HL...) too: nodes without anything inside, by the thousand")
	cmd.Flags().StringVar(&o.HollowBehavior, "hollow-behavior", "", "JSON file with how hollow VMs behave (see docs/cloud.md); empty: as before")
	cmd.Flags().StringArrayVar(&o.AutoscalerArgs, "autoscaler-arg", nil, "further `flag` of customers' cluster autoscalers, for example --scale-down-unneeded-time=1m (see docs/autoscaler.md); may be repeated")
	cmd.Flags().StringToInt64Var(&o.Quotas, "quotas", nil, "what each tenant may have in the local cloud, `name=limit,...`: instances, volumes, volume_gib, public_ips, load_balancers (see docs/cloud.md); 0, or not named: any number; without the flag: as before")
	cmd.Flags().BoolVar(&noDemo, "no-demo", false, "end when the platform answers, without creating meu-cluster")
	return cmd
}

func newDown() *cobra.Command {
	o := DownOptions{Out: os.Stdout}
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove the region from this machine",
		Long: `Remove the region from this machine: every process, mount, network namespace, link, table and cgroup of it, and its state.
Only the build caches in the data folder stay, unless --purge.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return Down(cmd.Context(), o) },
	}
	dataDirFlag(cmd, &o.DataDir)
	cmd.Flags().BoolVar(&o.Purge, "purge", false, "remove the caches too, that is the whole data folder")
	return cmd
}

func newStatus(version string) *cobra.Command {
	var dataDir, format string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the region's endpoint, files and the health of its parts",
		Long:  "Show the region's endpoint, files and the health of its parts. The exit status is 1 when a part is not healthy.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != "table" && format != "json" {
				return fmt.Errorf("--output %q: choose table or json", format)
			}
			s, err := ReadStatus(cmd.Context(), dataDir, version)
			if err != nil {
				return err
			}
			if err := s.Print(cmd.OutOrStdout(), format); err != nil {
				return err
			}
			if !s.Healthy() {
				return errors.New("not all parts of the region are healthy")
			}
			return nil
		},
	}
	dataDirFlag(cmd, &dataDir)
	cmd.Flags().StringVarP(&format, "output", "o", "table", "table or json")
	return cmd
}
