package main

import (
	"fmt"
	"io"

	"magalu.cloud/mke/test/bench/benchsite"
)

type report []measured

func (r report) print(w io.Writer) {
	fmt.Fprintf(w, "\nMedians of %d rounds; ratios are taken within a round\n", len(r))
	seconds := func(mark string) float64 {
		return benchsite.Median(r, func(m measured) float64 { return m.marks[mark].Seconds() })
	}
	for _, mark := range marks {
		fmt.Fprintf(w, "RESULT storage_phase phase=%s median_s=%.2f\n", mark, seconds(mark))
	}
	floor := benchsite.Median(r, func(m measured) float64 { return m.byHand.Seconds() })
	ratio := benchsite.Median(r, func(m measured) float64 { return m.marks[running].Seconds() / m.byHand.Seconds() })
	fmt.Fprintf(w, "RESULT storage_pod ratio=%.2f running_s=%.2f floor_s=%.2f rounds=%d\n", ratio, seconds(running), floor, len(r))
	for _, j := range jobs {
		r.printJob(w, j)
	}
}

// printJob compares the volume without the limit of its type with the floor; with the limit, which counts operations, with the
// smaller one of floor and limit.
func (r report) printJob(w io.Writer, j job) {
	ratio := benchsite.Median(r, func(m measured) float64 { return m.volume[j.name] / m.floor[j.name] })
	inside := benchsite.Median(r, func(m measured) float64 { return m.inside[j.name] / min(m.floor[j.name], iopsLimit) })
	iops := func(of func(measured) map[string]float64) float64 {
		return benchsite.Median(r, func(m measured) float64 { return of(m)[j.name] })
	}
	fmt.Fprintf(w, "RESULT storage_fio job=%s ratio=%.2f iops=%.0f floor_iops=%.0f limited_ratio=%.2f limited_iops=%.0f rounds=%d\n", j.name, ratio,
		iops(func(m measured) map[string]float64 { return m.volume }), iops(func(m measured) map[string]float64 { return m.floor }),
		inside, iops(func(m measured) map[string]float64 { return m.inside }), len(r))
}
