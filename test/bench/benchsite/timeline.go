package benchsite

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Timeline is what happened when, from a start.
type Timeline struct {
	Start time.Time
	marks []mark
}

type mark struct {
	name string
	at   time.Duration
}

// NewTimeline starts now.
func NewTimeline() *Timeline { return &Timeline{Start: time.Now()} }

// Mark says that name happened now.
func (t *Timeline) Mark(name string) { t.MarkAt(name, time.Now()) }

// MarkAt says when name happened.
func (t *Timeline) MarkAt(name string, at time.Time) {
	t.marks = append(t.marks, mark{name, at.Sub(t.Start)})
}

// Has says whether name happened.
func (t *Timeline) Has(name string) bool {
	return slices.ContainsFunc(t.marks, func(m mark) bool { return m.name == name })
}

// At is when name happened, 0 when it did not.
func (t *Timeline) At(name string) time.Duration {
	for _, m := range t.marks {
		if m.name == name {
			return m.at
		}
	}
	return 0
}

// Print shows everything that happened.
func (t *Timeline) Print(w io.Writer) {
	for _, m := range t.marks {
		fmt.Fprintf(w, "  %s  %8.2f s  %s\n", t.Start.Add(m.at).Format("15:04:05.000"), m.at.Seconds(), m.name)
	}
}

// Timelines are the same thing done in several rounds.
type Timelines []*Timeline

// Print shows each mark's median, least and most, in the order of the medians.
func (l Timelines) Print(w io.Writer, title string) {
	fmt.Fprintf(w, "\n%s: seconds from the start, %d rounds\n  %-32s %8s %8s %8s\n", title, len(l), "", "median", "least", "most")
	marks := l.marks()
	slices.SortFunc(marks, func(a, b string) int { return int(l.Median(a) - l.Median(b)) })
	for _, m := range marks {
		all := l.times(m)
		fmt.Fprintf(w, "  %-32s %8.2f %8.2f %8.2f\n", m, l.Median(m).Seconds(), all[0].Seconds(), all[len(all)-1].Seconds())
	}
}

// PrintResults writes a RESULT line that begins with prefix for each mark.
func (l Timelines) PrintResults(w io.Writer, prefix string) {
	for _, m := range l.marks() {
		fmt.Fprintf(w, "RESULT %s phase=%s median_s=%.2f\n", prefix, strings.ReplaceAll(strings.ToLower(m), " ", "_"), l.Median(m).Seconds())
	}
}

// Median of when name happened, of the rounds in which it did; 0 when it never did.
func (l Timelines) Median(name string) time.Duration {
	all := l.times(name)
	if len(all) == 0 {
		return 0
	}
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// marks names every mark of any round, in order of appearance.
func (l Timelines) marks() []string {
	var out []string
	for _, t := range l {
		for _, m := range t.marks {
			if !slices.Contains(out, m.name) {
				out = append(out, m.name)
			}
		}
	}
	return out
}

// times of a mark in all rounds that have it, sorted.
func (l Timelines) times(name string) []time.Duration {
	var out []time.Duration
	for _, t := range l {
		if t.Has(name) {
			out = append(out, t.At(name))
		}
	}
	slices.Sort(out)
	return out
}
