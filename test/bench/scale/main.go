// Command scale takes one node pool of hollow machines from nothing to thousands of nodes, fills them with pods, and goes back to nothing,
// with a live view in the terminal. It prints what it took and never fails on a number. See `make demo-2000`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

func main() { benchsite.Main(bench) }

// options of a run.
type options struct {
	dataDir, binDir, cluster, flavor string
	steps                            []int
	pods                             int
	limit                            time.Duration
	autoscale, keep                  bool
}

func bench(ctx context.Context) (err error) {
	var o options
	var steps string
	flag.StringVar(&o.dataDir, "data-dir", "/var/lib/mke", "the region's data folder")
	flag.StringVar(&o.binDir, "bin-dir", "bin", "where mke and mgc are")
	flag.StringVar(&o.cluster, "cluster", "demo-2000", "name of the cluster, which is made if there is none")
	flag.StringVar(&o.flavor, "flavor", "HL2-4-40", "flavor of the nodes")
	flag.StringVar(&steps, "steps", "2000", "sizes of the pool, one after the other")
	flag.IntVar(&o.pods, "pods-per-node", 10, "pods for each node of the last step")
	flag.DurationVar(&o.limit, "limit", time.Hour, "longest time for one step")
	flag.BoolVar(&o.autoscale, "autoscale", false, "let the autoscaler make the nodes for the pods, in one step, instead of resizing the pool")
	flag.BoolVar(&o.keep, "keep", false, "leave the cluster there")
	flag.Parse()
	for _, text := range strings.Split(steps, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return fmt.Errorf("--steps: %q is no number of nodes", text)
		}
		o.steps = append(o.steps, n)
	}
	s, err := openSite(ctx, o)
	if err != nil {
		return err
	}
	if !o.keep {
		defer func() { err = errors.Join(err, s.deleteCluster(context.WithoutCancel(ctx))) }()
	}
	return s.run(ctx, os.Stdout)
}
