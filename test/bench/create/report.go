package main

import (
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"time"
)

// report gathers all rounds.
type report struct {
	floors, created, deleted []*timeline
	memory                   []usage // of the last round
}

func (r *report) add(floor, created, deleted *timeline, memory []usage) {
	r.floors, r.created, r.deleted = append(r.floors, floor), append(r.created, created), append(r.deleted, deleted)
	r.memory = memory
}

func (r *report) print(w io.Writer) {
	r.printPhases(w, "By hand", r.floors)
	r.printPhases(w, "By the platform", r.created)
	r.printPhases(w, "Deletion", r.deleted)
	total := r.printMemory(w)

	floor, ready := medianOf(r.floors, markReady), medianOf(r.created, markReady)
	nothing := medianOf(r.deleted, markNothing)
	fmt.Fprintf(w, "\nRatio of the medians to all nodes Ready: %.2f (platform %.2f s, by hand %.2f s, %d rounds)\n", ready.Seconds()/floor.Seconds(), ready.Seconds(), floor.Seconds(), len(r.floors))
	for _, set := range []struct {
		key   string
		lines []*timeline
	}{{"floor", r.floors}, {"platform", r.created}, {"delete", r.deleted}} {
		for _, m := range marksOf(set.lines) {
			fmt.Fprintf(w, "RESULT create_phase way=%s phase=%s median_s=%.2f\n", set.key, slug(m), medianOf(set.lines, m).Seconds())
		}
	}
	fmt.Fprintf(w, "RESULT create ratio=%.2f ready_s=%.2f floor_s=%.2f dns_s=%.2f rounds=%d\n",
		ready.Seconds()/floor.Seconds(), ready.Seconds(), floor.Seconds(), medianOf(r.created, markDNS).Seconds(), len(r.floors))
	fmt.Fprintf(w, "RESULT delete nothing_left_s=%.2f rounds=%d\n", nothing.Seconds(), len(r.deleted))
	fmt.Fprintf(w, "RESULT memory platform_mib=%d\n", total/1024)
}

func (r *report) printPhases(w io.Writer, title string, lines []*timeline) {
	fmt.Fprintf(w, "\n%s: seconds from the start, %d rounds\n  %-32s %8s %8s %8s\n", title, len(lines), "", "median", "least", "most")
	marks := marksOf(lines)
	slices.SortFunc(marks, func(a, b string) int { return int(medianOf(lines, a) - medianOf(lines, b)) })
	for _, m := range marks {
		all := timesOf(lines, m)
		fmt.Fprintf(w, "  %-32s %8.2f %8.2f %8.2f\n", m, medianOf(lines, m).Seconds(), all[0].Seconds(), all[len(all)-1].Seconds())
	}
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

// marksOf names every mark of any round, in order of appearance.
func marksOf(lines []*timeline) []string {
	var out []string
	for _, l := range lines {
		for _, m := range l.marks {
			if !slices.Contains(out, m.name) {
				out = append(out, m.name)
			}
		}
	}
	return out
}

// timesOf are the times of a mark in all rounds that have it, sorted.
func timesOf(lines []*timeline, name string) []time.Duration {
	var out []time.Duration
	for _, l := range lines {
		if l.has(name) {
			out = append(out, l.at(name))
		}
	}
	slices.Sort(out)
	return out
}

func medianOf(lines []*timeline, name string) time.Duration {
	all := timesOf(lines, name)
	if len(all) == 0 {
		return 0
	}
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

func slug(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "_") }
