package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"magalu.cloud/mke/internal/autoscaler/plan"
)

// result of one case.
type result struct {
	pods, nodes          int
	wall, again, cpu     time.Duration // again: the same decision once more, with what the planner remembers
	floor                time.Duration
	newNodes, floorNodes int
	refused              int
	loadMiB, peakMiB     int // the load itself; the most that the process ever had, load and all
}

func (r result) String() string {
	return fmt.Sprintf("RESULT autoscale-decision pods=%d nodes=%d wall_ms=%.1f again_ms=%.1f cpu_ms=%.1f floor_ms=%.2f new_nodes=%d floor_nodes=%d refused=%d load_mib=%d peak_mib=%d",
		r.pods, r.nodes, ms(r.wall), ms(r.again), ms(r.cpu), ms(r.floor), r.newNodes, r.floorNodes, r.refused, r.loadMiB, r.peakMiB)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// newPlanner makes a planner whose informers are never started: nothing in the load looks anything up.
func newPlanner(ctx context.Context) (*plan.Planner, error) {
	client, err := kubernetes.NewForConfig(&rest.Config{})
	if err != nil {
		return nil, err
	}
	return plan.New(ctx, informers.NewSharedInformerFactory(client, 0), plan.Options{BalanceSimilar: true, PriorityCutoff: -10})
}

// measure decides twice and then packs the floor.
func measure(ctx context.Context, pods, nodes int) (result, error) {
	r := result{pods: pods, nodes: nodes}
	planner, err := newPlanner(ctx)
	if err != nil {
		return r, err
	}
	before := heapMiB()
	state, pending := load(pods, nodes)
	r.loadMiB = heapMiB() - before

	start, used := time.Now(), cpuTime()
	up, err := planner.ScaleUp(ctx, state, pending)
	if err != nil {
		return r, err
	}
	r.wall, r.cpu = time.Since(start), cpuTime()-used
	for _, count := range up.Increase {
		r.newNodes += count
	}
	r.refused = len(up.Refused)
	start = time.Now()
	if _, err := planner.ScaleUp(ctx, state, pending); err != nil {
		return r, err
	}
	r.again = time.Since(start)
	if r.peakMiB, err = peakMiB(); err != nil {
		return r, err
	}
	r.floorNodes, r.floor = floor(state, pending)
	return r, nil
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func heapMiB() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc >> 20)
}

// peakMiB is the most memory that this process ever had.
func peakMiB() (int, error) { return memoryOf(os.Getpid(), "VmHWM") }

// memoryOf is a line of a process's status.
func memoryOf(pid int, name string) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int
		if _, err := fmt.Sscanf(line, name+": %d kB", &kib); err == nil {
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("no %s in the status of process %d", name, pid)
}
