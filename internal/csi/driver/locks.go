package driver

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Locks lets one call at a time work on a volume. Others are told to come back, and sidecars and kubelets do.
type Locks struct {
	mu   sync.Mutex
	held map[string]bool
}

// Lock takes all keys or none.
func (l *Locks) Lock(keys ...string) (unlock func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		if l.held[key] {
			return nil, status.Errorf(codes.Aborted, "another operation on %s is under way", key)
		}
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	for _, key := range keys {
		l.held[key] = true
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range keys {
			delete(l.held, key)
		}
	}, nil
}

// IsHeld is true while somebody works on the key.
func (l *Locks) IsHeld(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[key]
}
