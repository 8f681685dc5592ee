package cloud

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

const (
	// firstPause before the cloud is asked how far it is; the pauses grow up to lastPause.
	firstPause = 30 * time.Millisecond
	lastPause  = time.Second
	// fewWaiters are asked for one by one; more of them share a list of everything, at most every crowdPause.
	fewWaiters = 4
	crowdPause = 200 * time.Millisecond

	roundLimit = 15 * time.Second
)

// watcher waits for objects of the cloud to change. All that wait at the same time are served by one loop, so that a hundred volumes
// that are being attached cost one call per round.
type watcher[T any] struct {
	get  func(ctx context.Context, id string) (*T, error)
	list func(ctx context.Context) ([]T, error)
	id   func(*T) string
	wake chan struct{}

	mu      sync.Mutex
	waiters map[*waiter[T]]bool
	running bool
	pause   time.Duration
	problem error // of the newest round
}

func newWatcher[T any](get func(context.Context, string) (*T, error), list func(context.Context) ([]T, error), id func(*T) string) *watcher[T] {
	return &watcher[T]{get: get, list: list, id: id, wake: make(chan struct{}, 1), waiters: map[*waiter[T]]bool{}}
}

type waiter[T any] struct {
	id     string
	done   func(*T) bool
	result chan outcome[T] // room for one
}

type outcome[T any] struct {
	object *T
	err    error
}

// wait returns the object once done is true of it; nil, also for done, is an object that the cloud does not have.
func (w *watcher[T]) wait(ctx context.Context, id string, done func(*T) bool) (*T, error) {
	me := &waiter[T]{id: id, done: done, result: make(chan outcome[T], 1)}
	w.enter(me)
	select {
	case out := <-me.result:
		return out.object, out.err
	case <-ctx.Done():
		if problem := w.leave(me); problem != nil {
			return nil, fmt.Errorf("%w; the cloud's newest answer: %w", ctx.Err(), problem)
		}
		return nil, fmt.Errorf("the cloud is still working: %w", ctx.Err())
	}
}

func (w *watcher[T]) enter(me *waiter[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiters[me] = true
	w.pause = firstPause
	if !w.running {
		w.running = true
		go w.run()
		return
	}
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

func (w *watcher[T]) leave(me *waiter[T]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters, me)
	return w.problem
}

// run makes rounds while anyone waits.
func (w *watcher[T]) run() {
	for {
		pause, ok := w.nextPause()
		if !ok {
			return
		}
		select {
		case <-w.wake: // a new waiter does not wait as long as the old ones
		case <-time.After(pause):
			w.round()
		}
	}
}

// nextPause is false, and the loop over, once nobody waits.
func (w *watcher[T]) nextPause() (time.Duration, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiters) == 0 {
		w.running, w.problem = false, nil
		return 0, false
	}
	pause := w.pause
	if len(w.waiters) > fewWaiters {
		pause = max(pause, crowdPause)
	}
	w.pause = min(w.pause*3/2, lastPause)
	return pause, true
}

// round asks once and serves all whose objects are ready.
func (w *watcher[T]) round() {
	w.mu.Lock()
	waiters := slices.Collect(maps.Keys(w.waiters))
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), roundLimit)
	defer cancel()
	known, listErr := w.known(ctx, len(waiters))
	var problem error
	for _, me := range waiters {
		o, err := known[me.id], listErr
		if o == nil && err == nil {
			o, err = w.look(ctx, me.id)
		}
		switch {
		case mgc.IsTransient(err):
			problem = err
		case err != nil || me.done(o):
			w.serve(me, outcome[T]{object: o, err: err})
		}
	}
	w.note(problem)
}

// look asks for one object: only its own address says that it is gone.
func (w *watcher[T]) look(ctx context.Context, id string) (*T, error) {
	o, err := w.get(ctx, id)
	if IsNotFound(err) {
		return nil, nil
	}
	return o, err
}

// known lists everything if that is cheaper than to ask for each.
func (w *watcher[T]) known(ctx context.Context, waiters int) (map[string]*T, error) {
	if waiters <= fewWaiters {
		return nil, nil
	}
	all, err := w.list(ctx)
	known := make(map[string]*T, len(all))
	for n := range all {
		known[w.id(&all[n])] = &all[n]
	}
	return known, err
}

func (w *watcher[T]) serve(me *waiter[T], out outcome[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters, me)
	me.result <- out
}

// note remembers what went wrong and slows down as the cloud asks.
func (w *watcher[T]) note(problem error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.problem = problem
	if mgc.IsRateLimited(problem) {
		w.pause = max(lastPause/2, min(mgc.RetryAfter(problem), 10*time.Second))
	}
}
