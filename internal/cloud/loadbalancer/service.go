// Package loadbalancer is the local cloud's load balancer product: TCP load
// balancers with listeners, backends, health checks and ACLs. Rows in SQLite are
// the record; one HAProxy per load balancer does the work.
package loadbalancer

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"

	"magalu.cloud/mke/internal/cloud/loadbalancer/haproxy"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Network is what load balancers need of the network product; *network.Service has it.
type Network interface {
	CheckVPC(ctx context.Context, q store.Queryer, tenantID, vpcID string) error
	AllocateVIP(ctx context.Context, tx *sql.Tx, tenantID, vpcID, owner string) (netip.Addr, error)
	AcquirePublicIP(ctx context.Context, tx *sql.Tx, tenantID, vpcID, id, owner string) (network.PublicIP, error)
	ReleaseOwner(ctx context.Context, tx *sql.Tx, owner string, removePublicIP bool) error
	Converge(ctx context.Context, vpcID string) error
	PortAddress(ctx context.Context, q store.Queryer, vpcID, portID string) (netip.Addr, error)
	VPCNetns(vpcID string) (string, error)
}

// Config of the product.
type Config struct {
	DataDir string // keeps a folder per load balancer
	Network Network
	Logger  *slog.Logger
}

// Service is the load balancer product. Its methods are safe for concurrent use.
type Service struct {
	cfg   Config
	db    *store.DB
	log   *slog.Logger
	queue workqueue.TypedRateLimitingInterface[string] // ids

	mu      sync.Mutex
	watches map[string]*watch // by id
}

// watch waits for the end of a load balancer's process.
type watch struct {
	pid  int
	exit *haproxy.Exit
}

// New prepares the database; it does not touch the machine.
func New(db *store.DB, cfg Config) (*Service, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(context.Background(), "loadbalancer", files); err != nil {
		return nil, err
	}
	return &Service{
		cfg: cfg, db: db, log: cfg.Logger.With("product", "loadbalancer"),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 30*time.Second)),
		watches: map[string]*watch{},
	}, nil
}

// Teardown ends the HAProxys of a region by the names of the namespaces in which
// they live; prefix is network.Config's. It needs no database.
func Teardown(ctx context.Context, prefix string) error {
	if prefix == "" {
		prefix = "mke"
	}
	return haproxy.StopAll(ctx, prefix+"-vpc-")
}

// resync is how often everything is compared again, against changes that nobody told us of.
const resync = time.Minute

// Run reconciles until ctx is done. The HAProxys go on when it returns.
func (s *Service) Run(ctx context.Context) error {
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for s.work(ctx) {
			}
		})
	}
	ticker := time.NewTicker(resync)
	defer ticker.Stop()
	for {
		if err := s.enqueueAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("list the load balancers", "error", err)
		}
		select {
		case <-ticker.C:
			continue
		case <-ctx.Done():
		}
		break
	}
	s.queue.ShutDown()
	workers.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.watches {
		s.unwatch(id)
	}
	return nil
}

// enqueueAll takes first the folders, then the rows: a folder without a row is a
// leftover, never something just being made.
func (s *Service) enqueueAll(ctx context.Context) error {
	entries, err := os.ReadDir(s.cfg.DataDir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	lbs, err := where(ctx, s.db, `1`)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		s.queue.Add(entry.Name())
	}
	for _, lb := range lbs {
		s.queue.Add(lb.ID)
	}
	return nil
}

func (s *Service) work(ctx context.Context) bool {
	id, stop := s.queue.Get()
	if stop {
		return false
	}
	defer s.queue.Done(id)
	if err := s.reconcile(ctx, id); err != nil && ctx.Err() == nil {
		s.log.Error("reconcile a load balancer", "load_balancer", id, "error", err)
		s.queue.AddRateLimited(id)
		return true
	}
	s.queue.Forget(id)
	return true
}

func (s *Service) process(lb LoadBalancer) (haproxy.Process, error) {
	netns, err := s.cfg.Network.VPCNetns(lb.VPCID)
	return haproxy.Process{Dir: filepath.Join(s.cfg.DataDir, lb.ID), Netns: netns}, err
}

// follow makes the queue hear of the end of the process that runs now.
func (s *Service) follow(id string, pid int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.watches[id]; w != nil && w.pid == pid {
		return nil
	}
	s.unwatch(id)
	if pid == 0 {
		return fmt.Errorf("the process ended right after its start")
	}
	exit, err := haproxy.Watch(pid)
	if err != nil {
		return err
	}
	w := &watch{pid: pid, exit: exit}
	s.watches[id] = w
	go func() {
		if exit.Wait() {
			s.ended(id, w)
		}
	}()
	return nil
}

func (s *Service) ended(id string, w *watch) {
	s.mu.Lock()
	current := s.watches[id] == w
	if current {
		s.unwatch(id)
	}
	s.mu.Unlock()
	if current {
		s.log.Warn("the process of a load balancer ended, starting it again", "load_balancer", id, "pid", w.pid)
		s.queue.Add(id)
	}
}

// unwatch needs s.mu.
func (s *Service) unwatch(id string) {
	if w := s.watches[id]; w != nil {
		w.exit.Close()
		delete(s.watches, id)
	}
}
