// Package metadata serves instances what they ask for about themselves, in
// OpenStack's format, at 169.254.169.254 in every VPC's network namespace.
package metadata

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"magalu.cloud/mke/internal/cloud/store"
)

// Address is where the service listens inside of each VPC.
const Address = "169.254.169.254:80"

// Instance is what an instance may know about itself.
type Instance struct {
	ID, Name, Hostname, TenantID string
	Region, AvailabilityZone     string
	SSHKeyName, SSHPublicKey     string
	UserData                     []byte // nil: none
	MAC                          string
	IP                           netip.Addr
	Prefix                       netip.Prefix
	Gateway                      netip.Addr
	Nameservers                  []string
}

// Config is what the service works with. Every field is required.
type Config struct {
	// InstanceAt finds the instance with that address in the VPC; store.ErrNotFound when there is none.
	InstanceAt func(ctx context.Context, vpcID string, ip netip.Addr) (Instance, error)
	// Netns returns the path of the VPC's network namespace.
	Netns  func(vpcID string) (string, error)
	Logger *slog.Logger
}

// Service keeps one listener per VPC.
type Service struct {
	Config
	listen func(ctx context.Context, netns string) (net.Listener, error)
	retry  time.Duration // between tries to listen

	mu     sync.Mutex
	stops  map[string]context.CancelFunc
	closed bool
	wg     sync.WaitGroup
}

// New returns the service; it listens nowhere until VPCReady is called.
func New(config Config) *Service {
	return &Service{Config: config, listen: listenIn, retry: 500 * time.Millisecond, stops: map[string]context.CancelFunc{}}
}

// Run closes all listeners when ctx is done.
func (s *Service) Run(ctx context.Context) error {
	<-ctx.Done()
	s.mu.Lock()
	s.closed = true
	for _, stop := range s.stops {
		stop()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}

// VPCReady starts to listen in the VPC. When it did before, it starts anew: the
// namespace may be another one. It does not block.
func (s *Service) VPCReady(vpcID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if stop, ok := s.stops[vpcID]; ok {
		stop()
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stops[vpcID] = stop
	s.wg.Go(func() { s.serve(ctx, vpcID) })
}

// VPCGone stops to listen in the VPC.
func (s *Service) VPCGone(vpcID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stop, ok := s.stops[vpcID]; ok {
		stop()
		delete(s.stops, vpcID)
	}
}

func (s *Service) serve(ctx context.Context, vpcID string) {
	listener := s.listenUntil(ctx, vpcID)
	if listener == nil {
		return
	}
	server := &http.Server{
		Handler:           s.handler(vpcID),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		s.Logger.Error("metadata service ended", "vpc", vpcID, "error", err)
	}
}

// listenUntil tries until it can listen; nil when ctx is done before. The
// address of a former listener may take a moment to become free.
func (s *Service) listenUntil(ctx context.Context, vpcID string) net.Listener {
	for try := 0; ; try++ {
		netns, err := s.Netns(vpcID)
		if err == nil {
			var listener net.Listener
			if listener, err = s.listen(ctx, netns); err == nil {
				return listener
			}
		}
		if try%20 == 10 {
			s.Logger.Warn("metadata service cannot listen yet", "vpc", vpcID, "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(s.retry):
		}
	}
}

// find returns the instance that makes the request; store.ErrNotFound for an unknown caller.
func (s *Service) find(r *http.Request, vpcID string) (Instance, error) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return Instance{}, store.ErrNotFound
	}
	return s.InstanceAt(r.Context(), vpcID, from.Addr().Unmap())
}
