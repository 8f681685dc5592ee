package mkeapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"magalu.cloud/mke/internal/audit"
)

// fakeSignIns is IAM's record, numbered from 1.
type fakeSignIns struct {
	mu      sync.Mutex
	waiting []audit.Record
	gone    int64
	fail    error // of the next call that forgets
	asked   int
	away    error
}

func (f *fakeSignIns) AuditRecords(context.Context) (w audit.Waiting, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.away != nil {
		return w, f.away
	}
	w.Records = slices.Clone(f.waiting[:min(2, len(f.waiting))])
	w.Last = f.gone + int64(len(w.Records))
	return w, nil
}

func (f *fakeSignIns) ForgetAuditRecords(_ context.Context, last int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.fail; err != nil {
		f.fail = nil
		return err
	}
	f.waiting, f.gone = f.waiting[last-f.gone:], last
	return nil
}

func (f *fakeSignIns) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *fakeSignIns) setAway(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = err
}

// Records of direct sign-ins leave IAM when they are kept, and are kept once however often they are collected.
func TestSignInsAreCollected(t *testing.T) {
	h := newHarness(t)
	from := &fakeSignIns{fail: errors.New("the answer is lost")}
	for n := range 5 {
		from.waiting = append(from.waiting, call(n, func(r *audit.Record) { r.Product, r.Operation = "iam", "POST /oauth/token" }))
	}
	if err := h.server.collectSignIns(t.Context(), from); err == nil || len(from.waiting) != 5 {
		t.Fatalf("%v, %d wait", err, len(from.waiting))
	}
	if err := h.server.collectSignIns(t.Context(), from); err != nil || len(from.waiting) != 0 {
		t.Fatalf("%v, %d wait", err, len(from.waiting))
	}
	if got := h.do(http.MethodGet, "/v1alpha0/audit?product=iam", nil).want(http.StatusOK).results(); len(got) != 5 {
		t.Errorf("%d are kept: %v", len(got), got)
	}

	from.waiting = []audit.Record{call(9, func(*audit.Record) {})}
	h.pool.Close()
	if err := h.server.collectSignIns(t.Context(), from); err == nil || len(from.waiting) != 1 {
		t.Errorf("without a database: %v, %d wait", err, len(from.waiting))
	}
}

// A cloud that is away is asked more and more rarely, and as before when it is back.
func TestSignInsAreCollectedPatiently(t *testing.T) {
	h := newHarness(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		from := &fakeSignIns{away: errors.New("the cloud is away")}
		done := make(chan error)
		go func() { done <- h.server.CollectSignIns(ctx, from) }()
		asked := func(in time.Duration) int {
			before := from.calls()
			time.Sleep(in)
			synctest.Wait()
			return from.calls() - before
		}
		if n := asked(10 * time.Minute); n < 10 || n > 20 {
			t.Errorf("asked %d times in 10 minutes", n)
		}
		from.setAway(nil)
		asked(maxSignInsPause)
		if n := asked(time.Minute); n != 30 {
			t.Errorf("asked %d times in a minute", n)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(fmt.Errorf("at the end: %w", err))
		}
	})
}
