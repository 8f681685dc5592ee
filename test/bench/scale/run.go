package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

// run is one whole demonstration, and what it took.
type run struct {
	*site
	view    *view
	results []string
}

func (r *run) result(format string, args ...any) {
	r.results = append(r.results, "RESULT scale "+fmt.Sprintf(format, args...))
}

// run goes up, fills, empties and goes down, and prints what it took.
func (s *site) run(ctx context.Context, w io.Writer) error {
	r := &run{site: s, view: watch(ctx, s)}
	before, calls := processes(), readCalls(ctx, s)
	begin := time.Now()
	defer func() {
		for _, line := range r.results {
			fmt.Fprintln(w, line)
		}
		printProcesses(w, before, processes(), time.Since(begin))
		readCalls(context.WithoutCancel(ctx), s).print(w, calls)
	}()
	up := r.byHand
	if s.autoscaled() {
		up = r.byAutoscaler
	}
	if err := up(ctx); err != nil {
		return err
	}
	return r.down(ctx)
}

// byAutoscaler makes the pods, for which the autoscaler makes nodes.
func (r *run) byAutoscaler(ctx context.Context) error {
	pods := r.nodes * r.pods
	begin := time.Now()
	if err := r.deploy(ctx, pods); err != nil {
		return err
	}
	full := func(c counts) bool { return c.running == pods }
	_, err := r.view.until(ctx, r.site, "up, by the autoscaler", func(c counts) bool { return c.ready == r.nodes || full(c) })
	ready := time.Since(begin)
	if err == nil {
		_, err = r.view.until(ctx, r.site, "the last pods", full)
	}
	c := r.view.counts()
	r.result("way=autoscaler nodes=%d ready=%d ready_s=%.1f pods=%d up_s=%.1f", c.nodes, c.ready, ready.Seconds(), c.running, time.Since(begin).Seconds())
	return err
}

// byHand resizes the pool, step by step, and fills it then.
func (r *run) byHand(ctx context.Context) error {
	from := r.view.counts().ready
	for _, n := range r.steps {
		if err := r.resize(ctx, n); err != nil {
			return err
		}
		took, err := r.view.until(ctx, r.site, fmt.Sprintf("%d to %d nodes", from, n), func(c counts) bool { return c.nodes == n && c.ready == n })
		ready := r.view.counts().ready
		r.result("way=resize from=%d nodes=%d ready=%d up_s=%.1f nodes_per_s=%.1f", from, n, ready, took.Seconds(), float64(ready-from)/took.Seconds())
		if err != nil {
			return err
		}
		from = n
	}
	pods := r.nodes * r.pods
	if err := r.deploy(ctx, pods); err != nil {
		return err
	}
	took, err := r.view.until(ctx, r.site, fmt.Sprintf("%d pods", pods), func(c counts) bool { return c.running == pods })
	r.result("nodes=%d pods=%d pods_s=%.1f", r.nodes, r.view.counts().running, took.Seconds())
	return err
}

// down deletes the pods and then the nodes.
func (r *run) down(ctx context.Context) error {
	c := r.view.counts()
	if err := r.undeploy(ctx); err != nil {
		return err
	}
	took, err := r.view.until(ctx, r.site, "pods go", func(c counts) bool { return c.pods == 0 })
	r.result("nodes=%d pods=%d pods_gone_s=%.1f", c.nodes, c.pods, took.Seconds())
	if err != nil {
		return err
	}
	if err := r.empty(ctx); err != nil {
		return err
	}
	took, err = r.view.until(ctx, r.site, "down", func(c counts) bool { return c.nodes == 0 })
	r.result("nodes=%d left=%d down_s=%.1f", c.nodes, r.view.counts().nodes, took.Seconds())
	if err != nil {
		return err
	}
	return benchsite.Until(ctx, "the machines are gone", func(ctx context.Context) (bool, error) {
		return r.machines(ctx) == 0, nil
	})
}
