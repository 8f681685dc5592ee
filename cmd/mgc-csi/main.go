// Command mgc-csi is MGC-CSI alone, small enough for every node: `mgc-csi node` there, `mgc-csi controller` beside the control plane.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"magalu.cloud/mke/internal/csi"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := csi.NewCommand()
	root.Use = "mgc-csi"
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}
