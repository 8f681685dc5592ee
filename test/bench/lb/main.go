// Command lb times a Service of type LoadBalancer: from its creation to the first answer from outside, and requests through it beside
// requests straight to the node ports in the same run. It prints and never fails on a number. See `make bench-lb`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

func main() { benchsite.Main(bench) }

func bench(ctx context.Context) (err error) {
	dataDir := flag.String("data-dir", "/var/lib/mke", "the region's data folder")
	binDir := flag.String("bin-dir", "bin", "where mke and mgc are")
	cluster := flag.String("cluster", "", "name of a running cluster (default: the first one)")
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	load := flag.Duration("load", 5*time.Second, "how long each load lasts")
	connections := flag.Int("connections", 32, "how many connections make the load")
	flag.Parse()

	s, err := openSite(ctx, *binDir, *dataDir, *cluster)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(context.WithoutCancel(ctx))) }()
	if err := s.setUp(ctx); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	var r report
	for i := 1; i <= *rounds; i++ {
		one, err := s.round(ctx, *connections, *load)
		if err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
		fmt.Printf("round %d of %d: %s\n", i, *rounds, one)
		r = append(r, one)
	}
	r.print(os.Stdout)
	return nil
}
