package loadbalancer

import (
	"cmp"
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/flowcontrol"

	"magalu.cloud/mke/internal/mgc"
)

const (
	// listTTL is how old the shared list may be for a Service for which nothing was written since.
	listTTL = 2 * time.Second
	// callsPerSecond and callsBurst limit all calls about load balancers.
	callsPerSecond, callsBurst = 20, 40
	// pause after "too many requests" when the cloud does not say how long.
	pause = 5 * time.Second
)

// balancers is the cloud's load balancer product, shared by all Services: it lists once for many, paces the calls, and is silent while
// the cloud wants a pause.
type balancers struct {
	connect func() (*mgc.Client, error)
	bucket  flowcontrol.RateLimiter

	listing sync.Mutex // held while listing, so that those who wait share the answer
	begun   time.Time
	list    []mgc.LoadBalancer

	mu     sync.Mutex
	paused time.Time // until then
}

func newBalancers(connect func() (*mgc.Client, error)) *balancers {
	return &balancers{connect: connect, bucket: flowcontrol.NewTokenBucketRateLimiter(callsPerSecond, callsBurst)}
}

// pausedError stands for a call that was not made.
type pausedError struct{ left time.Duration }

func (*pausedError) Error() string { return "the cloud asked for a pause" }

// call makes one call, in its turn.
func (b *balancers) call(ctx context.Context, name string, do func(*mgc.Client) error) error {
	if left := b.pauseLeft(); left > 0 {
		return &pausedError{left}
	}
	if b.bucket.Wait(ctx) != nil {
		return &waiting{busy}
	}
	client, err := b.connect()
	if err == nil {
		err = do(client)
	}
	if mgc.IsRateLimited(err) {
		b.mu.Lock()
		b.paused = time.Now().Add(cmp.Or(mgc.RetryAfter(err), pause))
		b.mu.Unlock()
	}
	countCall(name, err)
	return err
}

func (b *balancers) pauseLeft() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Until(b.paused)
}

// since returns a list that was begun at or after a time.
func (b *balancers) since(ctx context.Context, notBefore time.Time) ([]mgc.LoadBalancer, error) {
	b.listing.Lock()
	defer b.listing.Unlock()
	if !b.begun.IsZero() && !b.begun.Before(notBefore) {
		return b.list, nil
	}
	begun := time.Now()
	err := b.call(ctx, "list", func(c *mgc.Client) error {
		list, err := c.LoadBalancer.List(ctx)
		if err == nil {
			b.list, b.begun = list, begun
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return b.list, nil
}

func (b *balancers) get(ctx context.Context, id string) (lb *mgc.LoadBalancer, err error) {
	err = b.call(ctx, "get", func(c *mgc.Client) error {
		lb, err = c.LoadBalancer.Get(ctx, id)
		return err
	})
	return lb, err
}
