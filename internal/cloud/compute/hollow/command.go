package hollow

import (
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/cloud/compute/hollow/machine"
	"magalu.cloud/mke/internal/logging"
)

// NewCommand returns `mke cloud hollow`, which the daemon starts.
func NewCommand() *cobra.Command {
	var dir, level string
	cmd := &cobra.Command{
		Use:    Command,
		Short:  "Run the hollow VMs of a folder; the daemon starts this",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger, err := logging.New(level)
			if err != nil {
				return err
			}
			klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // thousands of watches that break with their API server
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(50) // memory is dearer here than CPU
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return machine.Serve(ctx, dir, logger)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "folder with the VMs (required)")
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	_ = cmd.MarkFlagRequired("dir") // the flag exists
	return cmd
}
