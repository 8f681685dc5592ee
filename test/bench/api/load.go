package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// part is one kind of request.
type part struct {
	name    string
	workers int // of the closed loop; 0 for an open one
	call    func(ctx context.Context, i int) error
}

// measured is how a part went.
type measured struct {
	took []time.Duration // sorted
	rps  float64
	cpu  []time.Duration // per request, in the order of the processes
}

func (m measured) at(percent int) float64 {
	if len(m.took) == 0 {
		return 0
	}
	return m.took[(len(m.took)-1)*percent/100].Seconds() * 1000
}

func (m measured) line(name string) string {
	var cpu []string
	for _, c := range m.cpu {
		cpu = append(cpu, fmt.Sprintf("%5d", c.Microseconds()))
	}
	return fmt.Sprintf("%-22s %8.0f %9.2f %9.2f %9.2f   %s", name, m.rps, m.at(50), m.at(99), m.at(100), strings.Join(cpu, " "))
}

// measure warms a part up and runs its loop.
func (w *world) measure(ctx context.Context, p part) (measured, error) {
	connections := p.workers
	if connections == 0 {
		connections = *openConn
	}
	if _, err := closed(ctx, connections, *duration/6, p.call); err != nil {
		return measured{}, err
	}
	before, start := w.cpu(), time.Now()
	took, err := []time.Duration(nil), error(nil)
	if p.workers > 0 {
		took, err = closed(ctx, p.workers, *duration, p.call)
	} else {
		took, err = open(ctx, *rate, 3**duration, p.call)
	}
	elapsed, after := time.Since(start), w.cpu()
	if err != nil {
		return measured{}, err
	}
	slices.Sort(took)
	m := measured{took: took, rps: float64(len(took)) / elapsed.Seconds()}
	for i := range after {
		m.cpu = append(m.cpu, (after[i]-before[i])/time.Duration(len(took)))
	}
	return m, nil
}

var sequence atomic.Int64 // no request is ever the same as an earlier one

// closed lets each worker send its next request when it has the answer to the last.
func closed(ctx context.Context, workers int, d time.Duration, call func(context.Context, int) error) ([]time.Duration, error) {
	all, errs := make([][]time.Duration, workers), make([]error, workers)
	end := time.Now().Add(d)
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for start := time.Now(); start.Before(end) && errs[worker] == nil; start = time.Now() {
				errs[worker] = call(ctx, int(sequence.Add(1)))
				all[worker] = append(all[worker], time.Since(start))
			}
		})
	}
	group.Wait()
	return slices.Concat(all...), first(errs)
}

// open starts requests on schedule, as soon as a connection is free for each, and returns how long after its scheduled start each ended.
func open(ctx context.Context, rate int, d time.Duration, call func(context.Context, int) error) ([]time.Duration, error) {
	n := int(d.Seconds() * float64(rate))
	took, errs := make([]time.Duration, n), make([]error, n)
	var group sync.WaitGroup
	free := make(chan struct{}, *openConn)
	start := time.Now()
	for i := range n {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		free <- struct{}{}
		group.Go(func() {
			defer func() { <-free }()
			errs[i] = call(ctx, int(sequence.Add(1)))
			took[i] = time.Since(due)
		})
	}
	group.Wait()
	return took, first(errs)
}

func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
