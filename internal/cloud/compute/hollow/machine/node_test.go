package machine

import (
	"testing"
	"time"
)

func TestLeaseDuration(t *testing.T) {
	for config, want := range map[string]time.Duration{
		"":                              80 * time.Second,
		"nodeLeaseDurationSeconds: 0":   80 * time.Second,
		"nodeLeaseDurationSeconds: 20":  20 * time.Second,
		"nodeLeaseDurationSeconds: 200": 200 * time.Second,
	} {
		s, err := identity{Kubelet: []byte(config)}.settings()
		if err != nil || s.leaseDuration != want {
			t.Errorf("%q: a lease lasts %s (%v), want %s", config, s.leaseDuration, err, want)
		}
	}
}
