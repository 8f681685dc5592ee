// Command create times how long a cluster takes from the API call to ready nodes and back to nothing, beside the same work done by hand
// in the same run. It prints and never fails on a number. See `make bench-create`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

func main() { benchsite.Main(bench) }

func bench(ctx context.Context) error {
	dataDir := flag.String("data-dir", "/var/lib/mke", "the region's data folder")
	binDir := flag.String("bin-dir", "bin", "where mke and mgc are")
	rounds := flag.Int("rounds", 5, "how often everything is measured")
	flag.Parse()

	r, down, err := openRegion(ctx, *binDir, *dataDir)
	if err != nil {
		return err
	}
	defer down()
	report := &report{}
	for i := 1; i <= *rounds; i++ {
		if err := round(ctx, r, report, i, *rounds); err != nil {
			return fmt.Errorf("round %d: %w", i, err)
		}
	}
	report.print(os.Stdout)
	return nil
}

// round measures the floor, then the platform: both find the machine in the same state.
func round(ctx context.Context, r *region, report *report, i, rounds int) error {
	fmt.Printf("round %d of %d, by hand\n", i, rounds)
	floor, err := byHand(ctx, r)
	if err != nil {
		return fmt.Errorf("by hand: %w", err)
	}
	floor.Print(os.Stdout)
	fmt.Printf("round %d of %d, by the platform\n", i, rounds)
	created, deleted, memory, err := byPlatform(ctx, r, fmt.Sprintf("bench-%d-%d", time.Now().Unix()%100000, i))
	if err != nil {
		return fmt.Errorf("by the platform: %w", err)
	}
	created.Print(os.Stdout)
	deleted.Print(os.Stdout)
	report.add(floor, created, deleted, memory)
	return nil
}
