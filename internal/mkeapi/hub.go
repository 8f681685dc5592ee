package mkeapi

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

const (
	// maxStreams is how many event streams a tenant may have open at a replica.
	maxStreams = 20
	// listenPause is how long a lost connection to the database is left alone before the next try.
	listenPause = time.Second
)

// hub wakes event streams when something of their cluster has changed.
type hub struct {
	mu      sync.Mutex
	streams map[uuid.UUID]map[chan struct{}]bool // by cluster
	tenants map[string]int                       // number of streams
	ended   chan struct{}                        // closed when all streams are to end
	once    sync.Once
}

func newHub() *hub {
	return &hub{streams: map[uuid.UUID]map[chan struct{}]bool{}, tenants: map[string]int{}, ended: make(chan struct{})}
}

// join returns a channel that gets something after every change of the cluster, until leave is called.
func (h *hub) join(tenant string, cluster uuid.UUID) (wake <-chan struct{}, leave func(), err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.tenants[tenant] >= maxStreams {
		return nil, nil, problem.New(problem.TooManyStreams, maxStreams)
	}
	c := make(chan struct{}, 1)
	if h.streams[cluster] == nil {
		h.streams[cluster] = map[chan struct{}]bool{}
	}
	h.streams[cluster][c] = true
	h.tenants[tenant]++
	return c, func() { h.leave(tenant, cluster, c) }, nil
}

func (h *hub) leave(tenant string, cluster uuid.UUID, c chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.streams[cluster], c)
	if len(h.streams[cluster]) == 0 {
		delete(h.streams, cluster)
	}
	if h.tenants[tenant]--; h.tenants[tenant] == 0 {
		delete(h.tenants, tenant)
	}
}

func (h *hub) wake(cluster uuid.UUID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.streams[cluster] {
		kick(c)
	}
}

func (h *hub) wakeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, streams := range h.streams {
		for c := range streams {
			kick(c)
		}
	}
}

func kick(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is awake
	}
}

// Listen wakes event streams by what the database tells, until ctx ends.
func (s *Server) Listen(ctx context.Context) error {
	for {
		err := s.store.Listen(ctx, record.ChangesChannel, s.hub.wakeAll, func(payload string) {
			if id, err := uuid.Parse(payload); err == nil {
				s.hub.wake(id)
			}
		})
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenPause):
			s.log.Warn("listen for changes again", "error", err)
		}
	}
}

// EndStreams ends all event streams; their clients resume elsewhere.
func (s *Server) EndStreams() { s.hub.once.Do(func() { close(s.hub.ended) }) }
