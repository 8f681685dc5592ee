package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

const (
	pollEvery = 50 * time.Millisecond
	waitLimit = 5 * time.Minute
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

// until asks until done is true. An error is remembered, not final: things come up at their own time.
func until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	var last error
	for {
		ok, err := done(ctx)
		if ok {
			return nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w (last: %v)", what, ctx.Err(), last)
		case <-time.After(pollEvery):
		}
	}
}
