package main

import (
	"fmt"
	"io"

	"magalu.cloud/mke/test/bench/benchsite"
)

// report gathers all rounds of a kind of nodes.
type report struct {
	kind, flavor     string
	floors, platform benchsite.Timelines
}

func (r *report) print(w io.Writer) {
	r.floors.Print(w, r.kind+" nodes ("+r.flavor+") by hand")
	r.platform.Print(w, r.kind+" nodes ("+r.flavor+") by the autoscaler")
	fmt.Fprintln(w)
	r.floors.PrintResults(w, "autoscale-demand-phase nodes="+r.kind+" way=floor")
	r.platform.PrintResults(w, "autoscale-demand-phase nodes="+r.kind+" way=autoscaler")
	floor, running := r.floors.Median(markPods), r.platform.Median(markPods)
	fmt.Fprintf(w, "RESULT autoscale-demand nodes=%s ratio=%.2f decided_s=%.2f running_s=%.2f floor_s=%.2f rounds=%d\n", r.kind,
		running.Seconds()/floor.Seconds(), r.platform.Median(markDecided).Seconds(), running.Seconds(), floor.Seconds(), len(r.floors))
}
