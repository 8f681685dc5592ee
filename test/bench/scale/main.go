// Command scale has the autoscaler take a node pool of hollow machines from nothing to thousands of nodes, for the pods that fill them, and
// goes back to nothing, with a live view in the terminal. It prints what it took and never fails on a number. See `make demo-2000`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/test/bench/benchsite"
)

func main() { benchsite.Main(bench) }

// options of a run.
type options struct {
	dataDir, binDir, cluster string
	flavor                   catalog.Flavor
	nodes                    int
	steps                    []int // to resize by hand; empty for the autoscaler
	pods                     int   // for each node
	limit                    time.Duration
	keep                     bool
}

func bench(ctx context.Context) (err error) {
	var o options
	var flavor, steps string
	flag.StringVar(&o.dataDir, "data-dir", "/var/lib/mke", "the region's data folder")
	flag.StringVar(&o.binDir, "bin-dir", "bin", "where mke and mgc are")
	flag.StringVar(&o.cluster, "cluster", "demo-2000", "name of the cluster, which is made if there is none")
	flag.StringVar(&flavor, "flavor", "HL2-4-40", "flavor of the nodes")
	flag.IntVar(&o.nodes, "nodes", 2000, "how many nodes the autoscaler may make")
	flag.StringVar(&steps, "steps", "", "sizes to which the pool is resized by hand, one after the other, instead: 100,250,500")
	flag.IntVar(&o.pods, "pods-per-node", 10, "pods for each node, as large as that so many fill it")
	flag.DurationVar(&o.limit, "limit", 2*time.Hour, "longest time for one step")
	flag.BoolVar(&o.keep, "keep", false, "leave the cluster there")
	flag.Parse()
	var known bool
	if o.flavor, known = catalog.Default().WithHollow().Flavor(flavor); !known {
		return fmt.Errorf("--flavor: there is no %q; `mgc kubernetes flavor list` shows what there is", flavor)
	}
	if steps != "" {
		for _, text := range strings.Split(steps, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil || n < 1 {
				return fmt.Errorf("--steps: %q is no number of nodes", text)
			}
			o.steps = append(o.steps, n)
		}
		o.nodes = slices.Max(o.steps)
	}
	if o.nodes < 1 || o.pods < 1 {
		return errors.New("--nodes and --pods-per-node: at least 1")
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
