package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/plan"
)

// removal is the result of one case of nodes that may go.
type removal struct {
	nodes, pods      int
	wall, again, cpu time.Duration
	removable        int
	peakMiB          int
}

func (r removal) String() string {
	return fmt.Sprintf("RESULT autoscale-removal nodes=%d pods=%d wall_ms=%.1f again_ms=%.1f cpu_ms=%.1f removable=%d peak_mib=%d",
		r.nodes, r.pods, ms(r.wall), ms(r.again), ms(r.cpu), r.removable, r.peakMiB)
}

// measureRemoval asks twice which of the nodes may go; all are under-used, with two pods each of the same Deployments as wait in the other cases.
func measureRemoval(ctx context.Context, nodes int) (removal, error) {
	r := removal{nodes: nodes, pods: 2 * nodes}
	planner, err := newPlanner(ctx)
	if err != nil {
		return r, err
	}
	s, _ := load(0, 0)
	s.Groups[0].Size, s.Groups[0].Max = nodes, nodes
	s.NodeGroup = func(string) string { return s.Groups[0].Name }
	var candidates []string
	for i := range nodes {
		n := node(fmt.Sprintf("node-%d", i), zones[i%len(zones)])
		s.Nodes, candidates = append(s.Nodes, n), append(candidates, n.Name)
	}
	for i := range r.pods {
		p := waiting(i/perApp, i%perApp)
		p.Spec.NodeName, p.Status.Phase = s.Nodes[i%nodes].Name, corev1.PodRunning
		s.Pods = append(s.Pods, p)
	}
	start, used := time.Now(), cpuTime()
	down, err := planner.ScaleDown(ctx, s, candidates, plan.ScaleDownOptions{UtilizationThreshold: 0.5})
	if err != nil {
		return r, err
	}
	r.wall, r.cpu, r.removable = time.Since(start), cpuTime()-used, len(down.Removable)
	start = time.Now()
	if _, err := planner.ScaleDown(ctx, s, candidates, plan.ScaleDownOptions{UtilizationThreshold: 0.5}); err != nil {
		return r, err
	}
	r.again = time.Since(start)
	r.peakMiB, err = peakMiB()
	return r, err
}
