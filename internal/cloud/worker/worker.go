// Package worker is the frame of the products' reconcilers: a queue of ids, workers that take one of them at a
// time, and another try for what failed, after a pause that doubles.
package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// maxTries is after how many failures in a row an operation is given up.
const maxTries = 10

// ErrKeepTrying marks failures that say nothing about an operation: for these none is given up.
var ErrKeepTrying = errors.New("not given up")

// Config of a Pool. Every field but GiveUp is required.
type Config struct {
	Kind    string // of the objects, for the log
	Workers int    // how many objects are worked on at the same time
	// Pauses before another try.
	FirstPause, LastPause time.Duration
	Logger                *slog.Logger
	// Reconcile makes an object what its row says. No object is in two workers' hands at once.
	Reconcile func(ctx context.Context, id string) error
	// GiveUp ends the operation under way on an object with an error status. The tries go on, for what else there
	// is to do with it. Without GiveUp they go on in any case.
	GiveUp func(ctx context.Context, id string, cause error) error
}

// Pool is a queue with its workers.
type Pool struct {
	Config
	queue workqueue.TypedRateLimitingInterface[string]
}

// New returns a pool that takes ids already, and works once it runs.
func New(config Config) *Pool {
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[string](config.FirstPause, config.LastPause)
	return &Pool{Config: config, queue: workqueue.NewTypedRateLimitingQueue(limiter)}
}

// Add has an object worked on now.
func (p *Pool) Add(id string) { p.queue.Add(id) }

// Wake has an object worked on now, and forgets how often that failed: something else is wanted of it.
func (p *Pool) Wake(id string) {
	p.queue.Forget(id)
	p.queue.Add(id)
}

// Retry has an object worked on after the pause that is due.
func (p *Pool) Retry(id string) { p.queue.AddRateLimited(id) }

// RetryLate has an object worked on after the longest pause.
func (p *Pool) RetryLate(id string) { p.queue.AddAfter(id, p.LastPause) }

// Run works until ctx is done and all workers have ended.
func (p *Pool) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range p.Workers {
		workers.Go(func() {
			for p.next(ctx) {
			}
		})
	}
	<-ctx.Done()
	p.queue.ShutDown()
	workers.Wait()
}

// next works on one object and returns false when there will be no more.
func (p *Pool) next(ctx context.Context) bool {
	id, stop := p.queue.Get()
	if stop {
		return false
	}
	defer p.queue.Done(id)
	err := p.Reconcile(ctx, id)
	switch {
	case err == nil:
		p.queue.Forget(id)
	case ctx.Err() != nil: // the next run continues
	default:
		p.failed(ctx, id, err)
		p.queue.AddRateLimited(id)
	}
	return true
}

func (p *Pool) failed(ctx context.Context, id string, err error) {
	tries := p.queue.NumRequeues(id) + 1
	p.Logger.Error(p.Kind+": step failed, trying again", "id", id, "try", tries, "error", err)
	if p.GiveUp == nil || tries < maxTries || errors.Is(err, ErrKeepTrying) {
		return
	}
	if err := p.GiveUp(ctx, id, err); err != nil {
		p.Logger.Error(p.Kind+": error status could not be recorded", "id", id, "error", err)
	}
}
