// Command mgc is the command line of Magalu Cloud.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"magalu.cloud/mke/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Main(ctx, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
