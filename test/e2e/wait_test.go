//go:build e2e

package e2e

import (
	"testing"
	"time"
)

// eventually asks until condition returns nil, and fails with its last error when that takes longer than limit.
func eventually(t *testing.T, limit time.Duration, what string, condition func() error) {
	t.Helper()
	start := time.Now()
	for {
		err := condition()
		if err == nil {
			t.Logf("%s: after %s", what, time.Since(start).Round(100*time.Millisecond))
			return
		}
		if time.Since(start) > limit {
			t.Fatalf("%s: not within %s; at the end: %v", what, limit, err)
		}
		time.Sleep(pause(time.Since(start)))
	}
}

// pause grows with the time that a wait has taken: each question starts a program, and many waits at once would keep the machine busy.
func pause(waited time.Duration) time.Duration {
	return min(max(waited/10, 300*time.Millisecond), time.Second)
}
