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

	"k8s.io/apimachinery/pkg/util/wait"

	"magalu.cloud/mke/internal/cloud/loadbalancer/haproxy"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/worker"
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
	Quota   int64 // of load balancers of a tenant; 0: any number
	Logger  *slog.Logger
}

// Service is the load balancer product. Its methods are safe for concurrent use.
type Service struct {
	cfg  Config
	db   *store.DB
	log  *slog.Logger
	pool *worker.Pool

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
	s := &Service{cfg: cfg, db: db, log: cfg.Logger.With("product", "loadbalancer"), watches: map[string]*watch{}}
	s.pool = worker.New(worker.Config{Kind: "load balancer", Workers: 4, FirstPause: 100 * time.Millisecond, LastPause: 30 * time.Second,
		Logger: s.log, Reconcile: s.reconcile})
	return s, nil
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
	var resyncs sync.WaitGroup
	resyncs.Go(func() { wait.UntilWithContext(ctx, s.enqueueAll, resync) })
	s.pool.Run(ctx)
	resyncs.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.watches {
		s.unwatch(id)
	}
	return nil
}

func (s *Service) enqueueAll(ctx context.Context) {
	ids, err := s.all(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.Error("list the load balancers", "error", err)
	}
	for _, id := range ids {
		s.pool.Add(id)
	}
}

// all takes first the folders, then the rows: a folder without a row is a
// leftover, never something just being made.
func (s *Service) all(ctx context.Context) (ids []string, err error) {
	entries, err := os.ReadDir(s.cfg.DataDir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	lbs, err := where(ctx, s.db, `1`)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		ids = append(ids, entry.Name())
	}
	for _, lb := range lbs {
		ids = append(ids, lb.ID)
	}
	return ids, nil
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
		s.pool.Add(id)
	}
}

// unwatch needs s.mu.
func (s *Service) unwatch(id string) {
	if w := s.watches[id]; w != nil {
		w.exit.Close()
		delete(s.watches, id)
	}
}
