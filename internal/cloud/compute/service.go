// Package compute is the local cloud's virtual machine product: the published
// routes, and a reconciler that makes the machine's VMs what the rows say.
//
// A request only writes a row, in one transaction, and wakes the reconciler up.
// Everything the reconciler does can be interrupted anywhere and done again.
package compute

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/worker"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what the service works with. Every field but the last is required.
type Config struct {
	Zones   []string // availability zones, the first one is the default
	Driver  Driver
	Hollow  Driver // of the machine types of that family
	Images  Images
	Network Network
	Volumes Volumes
	SSHKeys SSHKeys
	Logger  *slog.Logger
	// InstanceQuota is how many instances a tenant may have for which SetQuota said nothing; 0: any number.
	InstanceQuota int
}

// Service is the compute product.
type Service struct {
	Config
	db    *store.DB
	types []MachineType
	pool  *worker.Pool

	mu       sync.Mutex
	watched  map[string]bool // instances whose end is waited for
	watchers sync.WaitGroup
}

// New returns the service on db and brings its tables up to date.
func New(ctx context.Context, db *store.DB, config Config) (*Service, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "compute", files); err != nil {
		return nil, err
	}
	s := &Service{Config: config, db: db, types: machineTypes(config.Zones), watched: map[string]bool{}}
	s.pool = s.newPool(250*time.Millisecond, 10*time.Second) // an operation is given up after some 50 s
	return s, nil
}

func (s *Service) newPool(firstPause, lastPause time.Duration) *worker.Pool {
	return worker.New(worker.Config{Kind: "instance", Workers: 4, FirstPause: firstPause, LastPause: lastPause, Logger: s.Logger,
		Reconcile: s.reconcile, GiveUp: s.giveUp})
}
