// Command autoscale times the autoscaler's decision alone: how many nodes of which pools for so many pending pods beside so many nodes that
// are full, and which of so many nodes with little on them may go; and it measures what an autoscaler costs that has nothing to do. Each case
// runs in a process of its own, with a floor in the same process: first-fit of plain resource vectors, which knows nothing of zones, taints
// and affinity (growing only). It prints and never fails on a number. See `make bench-autoscale`, and test/bench/demand for the whole way from a
// Pod that waits to one that runs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	pods := flag.Int("pods", 0, "run only the case of so many pending pods, 0 for nodes that may go")
	nodes := flag.Int("nodes", -1, "and of so many nodes")
	idleDir := flag.String("idle", "", "be the autoscaler that is measured, with the kubeconfigs in this folder")
	idleOnly := flag.Bool("idle-only", false, "measure only what an autoscaler costs that has nothing to do")
	flag.Parse()
	if *idleDir != "" {
		return beIdle(ctx, *idleDir)
	}
	if *idleOnly {
		return allIdle(ctx)
	}
	if *nodes >= 0 {
		return one(ctx, *pods, *nodes)
	}
	for _, pods := range []int{100, 1_000, 10_000, 60_000} {
		for _, nodes := range []int{0, 1_000, 2_000} {
			if err := apart(ctx, pods, nodes); err != nil {
				return err
			}
		}
	}
	return errors.Join(apart(ctx, 0, 1_000), apart(ctx, 0, 2_000), apart(ctx, 0, 4_000), allIdle(ctx))
}

func allIdle(ctx context.Context) error {
	for _, nodes := range []int{0, 100, 2_000} {
		r, err := measureIdle(ctx, nodes)
		if err != nil {
			return err
		}
		fmt.Println(r)
	}
	return nil
}

// one runs a case in this process.
func one(ctx context.Context, pods, nodes int) error {
	var r fmt.Stringer
	var err error
	if pods > 0 {
		r, err = measure(ctx, pods, nodes)
	} else {
		r, err = measureRemoval(ctx, nodes)
	}
	if err != nil {
		return err
	}
	fmt.Println(r)
	return nil
}

// apart runs a case in a process of its own.
func apart(ctx context.Context, pods, nodes int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "-pods", strconv.Itoa(pods), "-nodes", strconv.Itoa(nodes))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "GOGC=50") // less garbage beside the pods for a little more CPU
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%d pods, %d nodes: %w", pods, nodes, err)
	}
	return nil
}
