package object

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestPace(t *testing.T) {
	var p Pace
	big, small, now := client.ObjectKey{Name: "big"}, client.ObjectKey{Name: "small"}, time.Now()
	p.Looked(big, 100, now)
	p.Looked(small, 1, now)
	for _, tt := range []struct {
		key   client.ObjectKey
		after time.Duration
		want  time.Duration
	}{{big, 0, time.Second}, {big, 400 * time.Millisecond, 600 * time.Millisecond}, {big, time.Minute, 0}, {small, 0, 0}} {
		if got := p.Wait(tt.key, now.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %s: %s, want %s", tt.key.Name, tt.after, got, tt.want)
		}
	}
	p.Looked(big, 5000, now)
	if got := p.Wait(big, now); got != longestPause {
		t.Errorf("rests for %s", got)
	}
	p.Looked(big, 0, now)
	if len(p.next) != 0 {
		t.Error("a rest of nothing is remembered")
	}
}
