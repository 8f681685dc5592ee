package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"
)

// run runs a pool with what the test fills in, until until is closed.
func run(t *testing.T, config Config, until <-chan struct{}, ids ...string) {
	t.Helper()
	config.Kind, config.Logger = "thing", slog.New(slog.DiscardHandler)
	config.FirstPause, config.LastPause = time.Microsecond, time.Millisecond
	p := New(config)
	for _, id := range ids {
		p.Add(id)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { t.Error("it takes too long") })
	go func() {
		<-until
		stop()
		cancel()
	}()
	p.Run(ctx)
}

func TestFailuresAreTriedAgainAndGivenUp(t *testing.T) {
	for _, c := range []struct {
		name    string
		err     error
		givesUp bool
		want    int // tries before it is given up; 0: never
	}{
		{"a failure", errors.New("broken"), true, maxTries},
		{"one that says nothing", fmt.Errorf("cannot tell: %w", ErrKeepTrying), true, 0},
		{"a product that gives nothing up", errors.New("broken"), false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			tries, given, done := 0, 0, make(chan struct{})
			config := Config{Workers: 1, Reconcile: func(context.Context, string) error {
				if tries++; tries == maxTries+5 {
					close(done)
					return nil
				}
				return c.err
			}}
			if c.givesUp {
				config.GiveUp = func(_ context.Context, id string, cause error) error {
					if given == 0 {
						given = tries
					}
					if id != "one" || !errors.Is(cause, c.err) {
						t.Errorf("gave up %s for %v", id, cause)
					}
					return nil
				}
			}
			run(t, config, done, "one")
			if given != c.want || tries != maxTries+5 {
				t.Errorf("given up after %d tries of %d, want %d of %d", given, tries, c.want, maxTries+5)
			}
		})
	}
}

// Success and Wake both begin the count of failures anew.
func TestFailuresInARowCount(t *testing.T) {
	tries, done := 0, make(chan struct{})
	var p *Pool
	p = New(Config{Kind: "thing", Workers: 1, FirstPause: time.Microsecond, LastPause: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		GiveUp: func(context.Context, string, error) error {
			t.Errorf("given up after %d tries", tries)
			return nil
		},
		Reconcile: func(_ context.Context, id string) error {
			switch tries++; {
			case tries == 4*(maxTries-1):
				close(done)
				return nil
			case tries%(2*(maxTries-1)) == 0: // succeeds, and is wanted again
				p.Add(id)
				return nil
			case tries%(maxTries-1) == 0:
				p.Wake(id)
				return errors.New("broken, but something else is wanted now")
			}
			return errors.New("broken")
		}})
	p.Add("one")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		<-done
		cancel()
	}()
	p.Run(ctx)
	if tries != 4*(maxTries-1) {
		t.Errorf("%d tries", tries)
	}
}

func TestAnObjectIsInOneHandOnly(t *testing.T) {
	const rounds = 50
	var (
		p              *Pool
		mu             sync.Mutex
		held           = map[string]bool{}
		worked         int
		two, done      = make(chan struct{}), make(chan struct{})
		onceTwo, ended sync.Once
	)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p = New(Config{Kind: "thing", Workers: 4, FirstPause: time.Microsecond, LastPause: time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		Reconcile: func(_ context.Context, id string) error {
			mu.Lock()
			if held[id] {
				t.Errorf("%s is in two hands", id)
			}
			held[id] = true
			if len(held) == 2 {
				onceTwo.Do(func() { close(two) })
			}
			mu.Unlock()
			p.Add(id) // wanted again while it is worked on
			select {
			case <-two: // different objects are worked on together
			case <-ctx.Done():
			}
			mu.Lock()
			defer mu.Unlock()
			delete(held, id)
			if worked++; worked >= rounds {
				ended.Do(func() { close(done) })
			}
			return nil
		}})
	p.Add("a")
	p.Add("b")
	go func() {
		select {
		case <-done:
		case <-ctx.Done():
			t.Error("two objects are never worked on together")
		}
		cancel()
	}()
	p.Run(ctx)
}

// What is under way when the pool shall end is finished, and Run waits for it.
func TestRunWaitsForItsWorkers(t *testing.T) {
	begun, ended := make(chan struct{}), false
	run(t, Config{Workers: 1, Reconcile: func(ctx context.Context, _ string) error {
		close(begun)
		<-ctx.Done()
		ended = true
		return ctx.Err()
	}}, begun, "one")
	if !ended {
		t.Error("Run returned while a worker was at work")
	}
}
