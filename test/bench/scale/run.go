package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

// run goes up, fills, empties and goes down, and prints what it took.
func (s *site) run(ctx context.Context, w io.Writer) error {
	v := watch(ctx, s)
	before, calls := processes(), readCalls(ctx, s)
	begin := time.Now()
	var results []string
	result := func(format string, args ...any) {
		results = append(results, "RESULT scale "+fmt.Sprintf(format, args...))
	}
	defer func() {
		for _, line := range results {
			fmt.Fprintln(w, line)
		}
		printProcesses(w, before, processes(), time.Since(begin))
		readCalls(context.WithoutCancel(ctx), s).print(w, calls)
	}()

	nodes := slices.Max(s.steps)
	pods := nodes * s.pods
	if s.autoscale {
		if err := s.deploy(ctx, pods); err != nil {
			return err
		}
		took, err := v.until(ctx, s, "up, by the autoscaler", func(c counts) bool { return c.running == pods })
		result("way=autoscaler nodes=%d pods=%d up_s=%.1f", v.counts().nodes, pods, took.Seconds())
		if err != nil {
			return err
		}
	} else {
		from := v.counts().ready
		for _, n := range s.steps {
			if err := s.resize(ctx, n); err != nil {
				return err
			}
			took, err := v.until(ctx, s, fmt.Sprintf("%d to %d nodes", from, n), func(c counts) bool { return c.nodes == n && c.ready == n })
			ready := v.counts().ready
			result("way=resize from=%d nodes=%d ready=%d up_s=%.1f nodes_per_s=%.1f", from, n, ready, took.Seconds(), float64(ready-from)/took.Seconds())
			if err != nil {
				return err
			}
			from = n
		}
		if err := s.deploy(ctx, pods); err != nil {
			return err
		}
		took, err := v.until(ctx, s, fmt.Sprintf("%d pods", pods), func(c counts) bool { return c.running == pods })
		result("nodes=%d pods=%d pods_s=%.1f", nodes, v.counts().running, took.Seconds())
		if err != nil {
			return err
		}
	}
	if err := s.undeploy(ctx); err != nil {
		return err
	}
	took, err := v.until(ctx, s, "pods go", func(c counts) bool { return c.pods == 0 })
	result("nodes=%d pods=%d pods_gone_s=%.1f", nodes, pods, took.Seconds())
	if err != nil {
		return err
	}
	if err := s.empty(ctx); err != nil {
		return err
	}
	took, err = v.until(ctx, s, "down", func(c counts) bool { return c.nodes == 0 })
	result("nodes=%d left=%d down_s=%.1f", nodes, v.counts().nodes, took.Seconds())
	if err != nil {
		return err
	}
	return benchsite.Until(ctx, "the machines are gone", func(ctx context.Context) (bool, error) {
		return s.machines(ctx) == 0, nil
	})
}
