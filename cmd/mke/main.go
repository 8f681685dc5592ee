// Command mke is the platform's one binary: each server is a subcommand, and up, down, status and image are the operator's verbs.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"magalu.cloud/mke/internal/autoscaler"
	"magalu.cloud/mke/internal/ccm"
	"magalu.cloud/mke/internal/cloud"
	"magalu.cloud/mke/internal/csi"
	"magalu.cloud/mke/internal/gateway"
	"magalu.cloud/mke/internal/image"
	"magalu.cloud/mke/internal/mkeapi"
	"magalu.cloud/mke/internal/operator"
	"magalu.cloud/mke/internal/platform"
	"magalu.cloud/mke/internal/provider"
	"magalu.cloud/mke/internal/version"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:           "mke",
		Short:         "Run a managed Kubernetes platform and the cloud below it",
		Version:       version.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddGroup(&cobra.Group{ID: "region", Title: "A region on this machine:"}, &cobra.Group{ID: "servers", Title: "Servers of the platform:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add("region", platform.NewCommands(version.Version, cloud.CheckQuotas)...)
	add("region", image.NewCommand())
	add("servers", cloud.NewCommand(), gateway.NewCommand(), mkeapi.NewCommand(), operator.NewCommand(), provider.NewCommand(), ccm.NewCommand(), autoscaler.NewCommand(), csi.NewCommand())
	return root
}
