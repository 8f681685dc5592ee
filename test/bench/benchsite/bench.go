// Package benchsite is what the benchmarks on a region share: how they run and wait, the region, a cluster in it, pods in that, and
// medians.
package benchsite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	pollEvery = 20 * time.Millisecond
	waitLimit = 5 * time.Minute
)

// Main runs a benchmark, which Ctrl-C ends and cleans up.
func Main(bench func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// Until asks until done: often, for what is timed by it.
func Until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	return UntilEvery(ctx, pollEvery, what, done)
}

// UntilEvery asks until done. Errors on the way are only told when time is up: things come up at their own time.
func UntilEvery(ctx context.Context, pause time.Duration, what string, done func(context.Context) (bool, error)) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pause, waitLimit, true, func(ctx context.Context) (bool, error) {
		ok, err := done(ctx)
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return ok, nil
	})
	if err == nil {
		return nil
	}
	if last != nil {
		err = fmt.Errorf("%w, the last error was: %w", err, last)
	}
	return fmt.Errorf("waiting until %s: %w", what, err)
}

// Output runs a command and returns what it prints; an error carries what it says on standard error.
func Output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return out, err
}

// Median of what value says of each.
func Median[T any, N cmp.Ordered](of []T, value func(T) N) N {
	var values []N
	for _, v := range of {
		values = append(values, value(v))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
