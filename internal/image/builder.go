package image

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// atOnce is how many steps run beside each other: a Go build, which takes every
// core, and one that mostly waits for the network or the disk.
const atOnce = 2

// Builder makes artefacts in the cache of a data folder.
type Builder struct {
	Steps   []*Step // inputs before their users
	Source  string  // the repository
	DataDir string
	Out     io.Writer // one line per step
}

// Build makes the named steps (a name, a kind, or kind/name; all when none is
// given) and what they need, records the result for Node, and prunes old keys.
func (b *Builder) Build(ctx context.Context, names ...string) error {
	wanted, err := selectSteps(b.Steps, names)
	if err != nil {
		return err
	}
	cache := cacheOf(b.DataDir)
	unlock, err := cache.lock(ctx, func() { fmt.Fprintln(b.Out, "waiting for another build to end") })
	if err != nil {
		return err
	}
	defer unlock()
	if err := cache.removeLeftovers(); err != nil {
		return err
	}
	keys, err := keys(b.Steps, b.Source)
	if err != nil {
		return err
	}
	started := time.Now()
	r := newRound(b, cache, keys, wanted)
	if err := r.run(ctx); err != nil {
		return err
	}
	if err := writeCurrent(b.DataDir, b.Steps, keys); err != nil {
		return err
	}
	for _, step := range b.Steps {
		if !cache.has(step, keys[step]) {
			continue
		}
		if err := cache.prune(step, keys[step]); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.Out, "%d built, %d from the cache, in %s\n", r.built, r.cached, since(started))
	return nil
}

func selectSteps(steps []*Step, names []string) ([]*Step, error) {
	if len(names) == 0 {
		return steps, nil
	}
	var selected []*Step
	for _, name := range names {
		found := false
		for _, step := range steps {
			if name == step.Name || name == step.Kind || name == step.String() {
				selected = append(selected, step)
				found = true
			}
		}
		if !found {
			return nil, fmt.Errorf("no image is called %q: see mke image list", name)
		}
	}
	return selected, nil
}

// round is one run of the steps that are missing.
type round struct {
	*Builder
	cache cache
	keys  map[*Step]string

	mu            sync.Mutex
	changed       *sync.Cond
	waiting       []*Step // in the order of the catalogue
	missing       map[*Step]bool
	busy          map[string]bool
	err           error
	built, cached int
}

func newRound(b *Builder, cache cache, keys map[*Step]string, wanted []*Step) *round {
	r := &round{Builder: b, cache: cache, keys: keys, missing: map[*Step]bool{}, busy: map[string]bool{}}
	r.changed = sync.NewCond(&r.mu)
	need := map[*Step]bool{}
	var visit func(s *Step)
	visit = func(s *Step) {
		if need[s] {
			return
		}
		need[s] = true
		if cache.has(s, keys[s]) {
			return // its inputs do not matter any more
		}
		for _, input := range s.recipe.inputs() {
			visit(input)
		}
	}
	for _, step := range wanted {
		visit(step)
	}
	for _, step := range b.Steps {
		switch {
		case !need[step]:
		case cache.has(step, keys[step]):
			r.cached++
			r.report("cached", step, 0)
		default:
			r.waiting = append(r.waiting, step)
			r.missing[step] = true
		}
	}
	return r
}

func (r *round) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for step := r.next(); step != nil; step = r.next() {
				err := r.make(ctx, step)
				r.finish(step, err)
				if err != nil {
					cancel()
				}
			}
		})
	}
	workers.Wait()
	return r.err
}

// next waits for a step whose inputs are there and whose resource is free.
// It returns nil when there is nothing left to do.
func (r *round) next() *Step {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.err != nil || len(r.waiting) == 0 {
			return nil
		}
		for i, step := range r.waiting {
			if !r.ready(step) {
				continue
			}
			r.waiting = append(r.waiting[:i:i], r.waiting[i+1:]...)
			if resource := resourceOf(step); resource != "" {
				r.busy[resource] = true
			}
			return step
		}
		r.changed.Wait()
	}
}

func (r *round) ready(step *Step) bool {
	if r.busy[resourceOf(step)] {
		return false
	}
	for _, input := range step.recipe.inputs() {
		if r.missing[input] {
			return false
		}
	}
	return true
}

func resourceOf(step *Step) string {
	if e, ok := step.recipe.(exclusive); ok {
		return e.resource()
	}
	return ""
}

func (r *round) finish(step *Step, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, resourceOf(step))
	if err == nil {
		delete(r.missing, step)
		r.built++
	} else if r.err == nil {
		r.err = err
	}
	r.changed.Broadcast()
}

func (r *round) make(ctx context.Context, step *Step) error {
	r.report("building", step, 0)
	started := time.Now()
	logPath := r.cache.logFile(step)
	if err := os.MkdirAll(filepath.Dir(logPath), 0o755); err != nil {
		return err
	}
	log, err := os.Create(logPath)
	if err != nil {
		return err
	}
	defer log.Close()
	err = r.cache.fill(step, r.keys[step], func(dir string) error {
		return step.recipe.make(ctx, &work{
			source: r.Source, out: dir, log: log,
			path: func(s *Step) string { return r.cache.path(s, r.keys[s]) },
		})
	})
	if err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("the build was interrupted: %w", ctx.Err())
		}
		return fmt.Errorf("build %s: %w\n%s\n(all output: %s)", step, err, tail(logPath, 15), logPath)
	}
	r.report("built", step, time.Since(started))
	return nil
}

func (r *round) report(what string, step *Step, took time.Duration) {
	line := fmt.Sprintf("%-9s %-34s %-12s", what, step, step.Version)
	if took > 0 {
		line += fmt.Sprintf(" %7s", took.Round(100*time.Millisecond))
	} else {
		line += fmt.Sprintf(" %7s", "")
	}
	if what != "building" {
		line += fmt.Sprintf(" %9s", humanSize(size(r.cache.path(step, r.keys[step]))))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintln(r.Out, line)
}

func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }

func humanSize(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	}
	return fmt.Sprintf("%d MiB", (n+1<<19)>>20)
}
