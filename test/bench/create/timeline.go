package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"magalu.cloud/mke/test/bench/benchsite"
)

// timeline is what happened when, from a start.
type timeline struct {
	start time.Time
	marks []mark
}

type mark struct {
	name string
	at   time.Duration
}

func newTimeline() *timeline { return &timeline{start: time.Now()} }

func (t *timeline) mark(name string) { t.markAt(name, time.Now()) }

func (t *timeline) markAt(name string, at time.Time) {
	t.marks = append(t.marks, mark{name, at.Sub(t.start)})
}

func (t *timeline) has(name string) bool {
	for _, m := range t.marks {
		if m.name == name {
			return true
		}
	}
	return false
}

// at is when name happened, 0 when it did not.
func (t *timeline) at(name string) time.Duration {
	for _, m := range t.marks {
		if m.name == name {
			return m.at
		}
	}
	return 0
}

func (t *timeline) print(w io.Writer) {
	for _, m := range t.marks {
		fmt.Fprintf(w, "  %s  %8.2f s  %s\n", t.start.Add(m.at).Format("15:04:05.000"), m.at.Seconds(), m.name)
	}
}

// until asks less often than others do: each look at a cluster that comes up is several requests to it.
func until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	return benchsite.UntilEvery(ctx, 50*time.Millisecond, what, done)
}
