// Package network is the local cloud's network product: VPCs, subnets, ports,
// security groups, public IPs. Rows in SQLite are the record; the kernel is made
// to agree with them by package dataplane, again and again, in both directions.
package network

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/worker"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config of the product.
type Config struct {
	Region      string       // such as br-se1
	Prefix      string       // of all names on the host; default mke
	PublicPool  netip.Prefix // addresses of the edge
	EdgeAddress netip.Addr   // the host's own address in PublicPool
	Egress      bool         // whether VPCs reach the world through the host; default no
	// PublicIPQuota is how many public IPs a tenant may have; 0: any number.
	PublicIPQuota int64
	Logger        *slog.Logger
}

// plane is what Service needs of *dataplane.Plane.
type plane interface {
	EnsureEdge(ctx context.Context) error
	Apply(ctx context.Context, r dataplane.Router) error
	Plug(ctx context.Context, r dataplane.Router, portID, netnsPath string) error
	Unplug(ctx context.Context, routerID, portID string) error
	Remove(ctx context.Context, routerID string) error
	Routers() ([]string, error)
	NetnsPath(routerID string) string
}

// names is what Service needs of *resolver.
type names interface {
	serve(vpcID, netnsPath string, subnets []dataplane.Subnet)
	drop(vpcID string)
	close()
}

// Service is the network product. Its methods are safe for concurrent use.
type Service struct {
	cfg      Config
	db       *store.DB
	log      *slog.Logger
	plane    plane
	pool     *worker.Pool // of VPCs, by their short ids
	resolver names

	mu      sync.Mutex
	routers map[string]*router // by short VPC id
	onReady []func(vpcID string)
	onGone  []func(vpcID string)
}

// New prepares the database; it does not touch the machine.
func New(db *store.DB, cfg Config) (*Service, error) {
	cfg = withDefaults(cfg)
	s, err := newService(db, cfg, dataplane.New(planeConfig(cfg)))
	if err == nil {
		s.resolver = newResolver(s)
	}
	return s, err
}

// newService leaves the resolver to its caller.
func newService(db *store.DB, cfg Config, plane plane) (*Service, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(context.Background(), "network", files); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, db: db, log: cfg.Logger.With("product", "network"), plane: plane, routers: map[string]*router{}}
	s.pool = worker.New(worker.Config{Kind: "VPC", Workers: 4, FirstPause: 100 * time.Millisecond, LastPause: 30 * time.Second,
		Logger: s.log, Reconcile: s.apply})
	return s, nil
}

func withDefaults(cfg Config) Config {
	if cfg.Prefix == "" {
		cfg.Prefix = "mke"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return cfg
}

func planeConfig(cfg Config) dataplane.Config {
	return dataplane.Config{Prefix: cfg.Prefix, Edge: cfg.PublicPool, HostIP: cfg.EdgeAddress, Egress: cfg.Egress, Logger: cfg.Logger}
}

// Teardown removes everything that a region with this configuration has in the
// kernel. It needs no database. Processes in the VPCs must be gone before.
func Teardown(ctx context.Context, cfg Config) error {
	return dataplane.New(planeConfig(withDefaults(cfg))).Teardown(ctx)
}

// EnsureEdge makes the edge bridge, so that the host's address on it can be listened on.
func (s *Service) EnsureEdge(ctx context.Context) error { return s.plane.EnsureEdge(ctx) }

// OnVPCReady registers fn, called with the id of a VPC when its namespace is
// there: at start, after creation, and again should it have been made anew.
func (s *Service) OnVPCReady(fn func(vpcID string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onReady = append(s.onReady, fn)
}

// OnVPCGone registers fn, called before the namespace of a VPC is removed.
func (s *Service) OnVPCGone(fn func(vpcID string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onGone = append(s.onGone, fn)
}

func (s *Service) call(fns *[]func(vpcID string), vpcID string) {
	s.mu.Lock()
	all := slices.Clone(*fns)
	s.mu.Unlock()
	for _, fn := range all {
		fn(vpcID)
	}
}

// resync is how often everything is compared again, against changes that nobody told us of.
const resync = time.Minute

// Run reconciles until ctx is done. The networks stay when it returns.
func (s *Service) Run(ctx context.Context) error {
	if err := s.plane.EnsureEdge(ctx); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	var resyncs sync.WaitGroup
	resyncs.Go(func() { wait.UntilWithContext(ctx, s.enqueueAll, resync) })
	s.pool.Run(ctx)
	resyncs.Wait()
	s.resolver.close()
	return nil
}

func (s *Service) enqueueAll(ctx context.Context) {
	if err := s.plane.EnsureEdge(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("repair the edge bridge", "error", err)
	}
	ids, err := s.all(ctx)
	if err != nil && ctx.Err() == nil {
		s.log.Error("list the VPCs", "error", err)
	}
	for _, id := range ids {
		s.pool.Add(id)
	}
}

// all takes first what is on the machine, then the rows: what is on the
// machine without a row is a leftover, never something just being made.
func (s *Service) all(ctx context.Context) (ids []string, err error) {
	if ids, err = s.plane.Routers(); err != nil {
		return nil, err
	}
	vpcs, err := listVPCs(ctx, s.db, "")
	if err != nil {
		return nil, err
	}
	for _, vpc := range vpcs {
		ids = append(ids, short(vpc.ID))
	}
	return ids, nil
}

// converge brings the kernel in line with what was just committed and waits for
// it. A failure is not the caller's: what is recorded will be done by a worker.
func (s *Service) converge(ctx context.Context, vpcIDs ...string) {
	for _, id := range vpcIDs {
		if err := s.apply(ctx, short(id)); err != nil {
			s.log.Error("apply a change, will be tried again", "vpc", id, "error", err)
			s.pool.Retry(short(id))
		}
	}
}

// short is the part of an id that names of links and namespaces have room for.
func short(id string) string { return id[:min(8, len(id))] }
