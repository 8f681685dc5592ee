package platform

import (
	"context"
	"errors"
	"time"
)

var errPollTimeout = errors.New("timed out")

// poll calls done until it says true or fails, ctx ends, or limit is over (errPollTimeout).
// It is for things that send no event, such as a server that does not listen yet.
func poll(ctx context.Context, every, limit time.Duration, done func() (bool, error)) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline.C:
			return errPollTimeout
		case <-ticker.C:
		}
	}
}
