// Command independent takes a cluster through its life with nothing but the published OpenAPI document of the Kubernetes product. It
// imports nothing of this repository: what it finds is what any client finds.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"magalu.cloud/mke/test/independent/client"
)

func main() {
	var o client.Options
	var keyFile, caFile string
	flag.StringVar(&o.Document, "document", "", "the published kubernetes.yaml")
	flag.StringVar(&o.Server, "server", "", "base URL of the product, such as https://198.18.0.3/br-se1/kubernetes")
	flag.StringVar(&keyFile, "api-key-file", "", "file with an API key")
	flag.StringVar(&caFile, "ca-file", "", "PEM file of the server's certificate authority")
	flag.StringVar(&o.Name, "name", "independent", "name of the cluster")
	flag.BoolVar(&o.Connect, "connect", true, "also ask the cluster itself, by its kubeconfig")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o, keyFile, caFile); err != nil {
		fmt.Fprintln(os.Stderr, "independent:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o client.Options, keyFile, caFile string) error {
	key, err := os.ReadFile(keyFile)
	if err != nil {
		return err
	}
	o.Key = strings.TrimSpace(string(key))
	if caFile != "" {
		if o.CA, err = os.ReadFile(caFile); err != nil {
			return err
		}
	}
	o.Log = func(format string, args ...any) { fmt.Printf(format+"\n", args...) }
	return client.Run(ctx, o)
}
