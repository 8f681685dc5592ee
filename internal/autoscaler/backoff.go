package autoscaler

import (
	"fmt"
	"time"
)

// backoff keeps groups from being asked again and again for what they cannot give.
type backoff struct {
	initial, longest, reset time.Duration
	groups                  map[string]*failure
}

type failure struct {
	code, reason string
	duration     time.Duration
	until        time.Time
}

func newBackoff(o Options) *backoff {
	return &backoff{initial: o.InitialBackoff, longest: o.MaxBackoff, reset: o.BackoffReset, groups: map[string]*failure{}}
}

// fail begins a pause, twice as long as the one before; failures within one pause are one.
func (b *backoff) fail(group, code, reason string, now time.Time) {
	f := b.groups[group]
	switch {
	case f == nil || now.Sub(f.until) > b.reset:
		f = &failure{duration: b.initial}
		b.groups[group] = f
	case now.Before(f.until):
		return
	default:
		f.duration = min(2*f.duration, b.longest)
	}
	f.code, f.reason, f.until = code, reason, now.Add(f.duration)
}

// blocked says until when and why a group gets no new nodes.
func (b *backoff) blocked(group string, now time.Time) string {
	f := b.groups[group]
	if f == nil || !now.Before(f.until) {
		return ""
	}
	return fmt.Sprintf("in backoff until %s after: %s", f.until.UTC().Format(time.RFC3339), f.reason)
}

// probing is true after a pause, until a node has come: meanwhile the group grows by one node only.
func (b *backoff) probing(group string, now time.Time) bool {
	f := b.groups[group]
	return f != nil && !now.Before(f.until) && now.Sub(f.until) <= b.reset
}

// succeeded is told of a node that came up; made is when its machine was.
func (b *backoff) succeeded(group string, made time.Time) {
	if f := b.groups[group]; f != nil && !made.Before(f.until) {
		delete(b.groups, group)
	}
}

// next is when the first pause ends; zero if there is none.
func (b *backoff) next(now time.Time) time.Time {
	var out time.Time
	for _, f := range b.groups {
		if now.Before(f.until) && (out.IsZero() || f.until.Before(out)) {
			out = f.until
		}
	}
	return out
}
