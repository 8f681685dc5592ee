package object

import (
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pausePerRelative is how long an object rests after a reconciliation for each relative that was looked at. 2,000 machines that come up
// make tens of thousands of events, and each reconciliation looks at all machines: without a rest the time would grow with the square of
// their number. A few machines cause no rest worth mentioning.
const pausePerRelative = 10 * time.Millisecond

// A shorter pause is not worth to be waited for, a longer one would be noticed.
const shortestPause, longestPause = 20 * time.Millisecond, 2 * time.Second

// Pace spaces the reconciliations of objects with many relatives. The zero value is ready for use.
type Pace struct {
	mu   sync.Mutex
	next map[client.ObjectKey]time.Time
}

// Wait returns how long the object has yet to rest.
func (p *Pace) Wait(key client.ObjectKey, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.next[key].Sub(now))
}

// Looked begins a rest after a look at so many relatives.
func (p *Pace) Looked(key client.ObjectKey, relatives int, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := min(time.Duration(relatives)*pausePerRelative, longestPause)
	if pause < shortestPause {
		delete(p.next, key)
		return
	}
	if p.next == nil {
		p.next = map[client.ObjectKey]time.Time{}
	}
	p.next[key] = now.Add(pause)
}
