package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// keeper takes records as mke-api does.
type keeper struct {
	mu   sync.Mutex
	err  error
	got  []string
	most int // records at once
}

func (k *keeper) send(_ context.Context, records [][]byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return k.err
	}
	k.most = max(k.most, len(records))
	for _, r := range records {
		k.got = append(k.got, string(r))
	}
	return nil
}

func (k *keeper) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func newSpool(t *testing.T, dir string, limit int64) *spool {
	t.Helper()
	s, err := openSpool(dir, limit, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.die)
	return s
}

// count reads a counter.
func count(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	registry := prometheus.NewRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families[0].GetMetric()[0].GetCounter().GetValue()
}

// die is what a kill does to a spool.
func (s *spool) die() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close()
	_ = s.lock.Close()
}

func addAll(t *testing.T, s *spool, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := s.add(fmt.Appendf(nil, `{"n":%d}`, n)); err != nil {
			t.Fatal(err)
		}
	}
}

func (k *keeper) want(t *testing.T, to int) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.got) != to {
		t.Fatalf("%d records were delivered, want %d", len(k.got), to)
	}
	for n, line := range k.got {
		if line != fmt.Sprintf(`{"n":%d}`, n) {
			t.Fatalf("record %d is %s", n, line)
		}
	}
}

// pass lets time go by.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	time.Sleep(d) // of synctest's clock
	synctest.Wait()
}

// Records are delivered in order; while mke-api is away they wait, and what is there at the end is flushed.
func TestSpoolDelivers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, k := newSpool(t, dir, maxSpool), &keeper{}
		ctx, end := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.run(ctx, k.send) })
		addAll(t, s, 0, 3)
		pass(t, spoolPause) // the first look may have come before the records
		k.want(t, 3)
		k.fail(errors.New("away"))
		addAll(t, s, 3, 1000)
		pass(t, spoolPause)
		k.want(t, 3)
		k.fail(nil)
		addAll(t, s, 1000, 1001)
		pass(t, 2*longestRetry)
		k.want(t, 1001)
		addAll(t, s, 1001, 1010)
		end()
		running.Wait()
		k.want(t, 1010)
		if k.most > maxDelivered {
			t.Errorf("%d records in one delivery", k.most)
		}
		if files, err := s.waiting(); len(files) != 0 || err != nil || s.size != 0 {
			t.Errorf("left are %v, %v, %d bytes", files, err, s.size)
		}
	})
}

// A gateway that was killed left records, the last one cut off. The next one delivers the others, and then its own.
func TestSpoolSurvivesAKill(t *testing.T) {
	dir, before := t.TempDir(), count(t, lost)
	dead := newSpool(t, dir, maxSpool)
	addAll(t, dead, 0, 5)
	if _, err := openSpool(dir, maxSpool, quiet); err == nil {
		t.Error("two gateways share a folder")
	}
	if _, err := dead.file.WriteString(`{"n":`); err != nil {
		t.Fatal(err)
	}
	dead.die()
	s, k := newSpool(t, dir, maxSpool), &keeper{}
	addAll(t, s, 5, 8)
	if err := s.deliver(t.Context(), k.send); err != nil {
		t.Fatal(err)
	}
	k.want(t, 8)
	if n := count(t, lost) - before; n != 1 {
		t.Errorf("%v are counted as lost, want the one that was cut off", n)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*"+spoolSuffix)); len(left) != 0 || err != nil {
		t.Errorf("left are %v %v", left, err)
	}
}

func TestSpoolIsBounded(t *testing.T) {
	s, k := newSpool(t, t.TempDir(), 100), &keeper{}
	line := []byte(`"` + strings.Repeat("x", 37) + `"`) // 40 with its end
	for n, want := range []bool{true, true, false} {
		if err := s.add(line); (err == nil) != want {
			t.Errorf("record %d: %v", n, err)
		}
	}
	if err := s.deliver(t.Context(), k.send); err != nil {
		t.Fatal(err)
	}
	if err := s.add(line); err != nil {
		t.Errorf("after the delivery: %v", err)
	}
}

// What mke-api can never take does not hold up the rest.
func TestSpoolGivesUpWhatCannotBeDelivered(t *testing.T) {
	s, k, before := newSpool(t, t.TempDir(), maxSpool), &keeper{}, count(t, lost)
	addAll(t, s, 0, 2)
	k.fail(errUndeliverable)
	if err := s.deliver(t.Context(), k.send); err != nil {
		t.Fatal(err)
	}
	if n := count(t, lost) - before; n != 2 {
		t.Errorf("%v are counted as lost", n)
	}
}

func BenchmarkSpool(b *testing.B) {
	s, err := openSpool(b.TempDir(), maxSpool<<8, quiet)
	if err != nil {
		b.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 700)
	for b.Loop() {
		if err := s.add(line); err != nil {
			b.Fatal(err)
		}
	}
}
