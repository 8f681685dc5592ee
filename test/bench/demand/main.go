// Command demand times how long Pods that fit nowhere wait until they run on nodes that the autoscaler makes for them, from an empty pool, on
// real nodes and on hollow ones; beside the same Pods on VMs that are made and joined by hand in the same run. It prints and never fails on a
// number. See `make bench-autoscale`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"magalu.cloud/mke/test/bench/benchsite"
)

func main() { benchsite.Main(bench) }

func bench(ctx context.Context) (err error) {
	dataDir := flag.String("data-dir", "/var/lib/mke", "the region's data folder")
	binDir := flag.String("bin-dir", "bin", "where mke and mgc are")
	rounds := flag.Int("rounds", 3, "how often everything is measured")
	flag.Parse()

	region, down, err := benchsite.BringUp(ctx, *binDir, *dataDir)
	if err != nil {
		return err
	}
	defer down()
	s, err := openSite(ctx, region, *binDir, *dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close(context.WithoutCancel(ctx))) }()
	reports := []*report{{kind: "real", flavor: "BV4-8-40"}, {kind: "hollow", flavor: "HL4-8-40"}}
	for i := 1; i <= *rounds; i++ {
		for _, r := range reports {
			if err := round(ctx, s, r, i, *rounds); err != nil {
				return fmt.Errorf("round %d, %s nodes: %w", i, r.kind, err)
			}
		}
	}
	for _, r := range reports {
		r.print(os.Stdout)
	}
	return nil
}

// round measures the floor, then the autoscaler: both find the cluster in the same state.
func round(ctx context.Context, s *site, r *report, i, rounds int) error {
	fmt.Printf("round %d of %d, %s nodes, by hand\n", i, rounds, r.kind)
	floor, err := byHand(ctx, s, fmt.Sprintf("hand-%s-%d", r.kind, i), r.flavor)
	if err != nil {
		return fmt.Errorf("by hand: %w", err)
	}
	floor.Print(os.Stdout)
	fmt.Printf("round %d of %d, %s nodes, by the autoscaler\n", i, rounds, r.kind)
	platform, err := byAutoscaler(ctx, s, fmt.Sprintf("auto-%s-%d", r.kind, i), r.flavor)
	if err != nil {
		return fmt.Errorf("by the autoscaler: %w", err)
	}
	platform.Print(os.Stdout)
	r.floors, r.platform = append(r.floors, floor), append(r.platform, platform)
	return nil
}
