package main

import (
	"fmt"
	"io"
	"sort"

	"magalu.cloud/mke/test/bench/benchsite"
)

// report gathers all rounds.
type report struct {
	floors, created, deleted benchsite.Timelines
	memory                   []usage // of the last round
}

func (r *report) add(floor, created, deleted *benchsite.Timeline, memory []usage) {
	r.floors, r.created, r.deleted = append(r.floors, floor), append(r.created, created), append(r.deleted, deleted)
	r.memory = memory
}

func (r *report) print(w io.Writer) {
	r.floors.Print(w, "By hand")
	r.created.Print(w, "By the platform")
	r.deleted.Print(w, "Deletion")
	total := r.printMemory(w)

	floor, ready := r.floors.Median(markReady), r.created.Median(markReady)
	nothing := r.deleted.Median(markNothing)
	fmt.Fprintf(w, "\nRatio of the medians to all nodes Ready: %.2f (platform %.2f s, by hand %.2f s, %d rounds)\n", ready.Seconds()/floor.Seconds(), ready.Seconds(), floor.Seconds(), len(r.floors))
	r.floors.PrintResults(w, "create_phase way=floor")
	r.created.PrintResults(w, "create_phase way=platform")
	r.deleted.PrintResults(w, "create_phase way=delete")
	fmt.Fprintf(w, "RESULT create ratio=%.2f ready_s=%.2f floor_s=%.2f dns_s=%.2f rounds=%d\n",
		ready.Seconds()/floor.Seconds(), ready.Seconds(), floor.Seconds(), r.created.Median(markDNS).Seconds(), len(r.floors))
	fmt.Fprintf(w, "RESULT delete nothing_left_s=%.2f rounds=%d\n", nothing.Seconds(), len(r.deleted))
	fmt.Fprintf(w, "RESULT memory platform_mib=%d\n", total/1024)
}

func (r *report) printMemory(w io.Writer) (totalKiB int) {
	sort.Slice(r.memory, func(i, j int) bool { return r.memory[i].kib > r.memory[j].kib })
	fmt.Fprintf(w, "\nMemory of the platform with one cluster (PSS)\n")
	for _, u := range r.memory {
		totalKiB += u.kib
		fmt.Fprintf(w, "  %6.1f MiB  %3d x %s\n", float64(u.kib)/1024, u.processes, u.name)
	}
	fmt.Fprintf(w, "  %6.1f MiB  in all\n", float64(totalKiB)/1024)
	return totalKiB
}
