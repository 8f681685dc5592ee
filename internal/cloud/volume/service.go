// Package volume is the local cloud's block storage product: the published
// routes, and a reconciler that makes the machine's disks what the rows say.
//
// A request only writes a row, in one transaction, and wakes the reconciler up.
// Everything the reconciler does can be interrupted anywhere and done again. It
// works on one volume, with its snapshots, at a time.
package volume

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/worker"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Config is what the service works with. Every field but Capacity is required.
type Config struct {
	Zones     []string // availability zones, the first one is the default
	Driver    Driver
	Machines  Machines
	Instances Instances
	Capacity  int64 // GiB that all volumes and snapshots may have together; 0: thinDisk times the disk
	Logger    *slog.Logger
	// TenantVolumes and TenantGiB are how many volumes a tenant may have, and their size together; 0: any.
	TenantVolumes, TenantGiB int64
}

// Service is the block storage product.
type Service struct {
	Config
	db   *store.DB
	pool *worker.Pool // of volumes

	mu      sync.Mutex
	plugged map[string]*sync.Mutex // by instance: who sets its devices
}

// New returns the service on db and brings its tables up to date.
func New(ctx context.Context, db *store.DB, config Config) (*Service, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "volume", files); err != nil {
		return nil, err
	}
	s := &Service{Config: config, db: db, plugged: map[string]*sync.Mutex{}}
	s.pool = s.newPool(50*time.Millisecond, 10*time.Second) // an operation is given up after some 30 s
	return s, nil
}

func (s *Service) newPool(firstPause, lastPause time.Duration) *worker.Pool {
	return worker.New(worker.Config{Kind: "volume", Workers: 6, FirstPause: firstPause, LastPause: lastPause, Logger: s.Logger,
		Reconcile: s.reconcile, GiveUp: s.giveUp})
}

// ErrorList is [{slug, message, detail}], block storage's shape of errors.
func ErrorList(e *httpapi.Error) any {
	return []map[string]any{{"slug": e.Slug, "message": e.Message, "detail": ""}}
}

// Register adds the published routes, relative to the product /volume.
func (s *Service) Register(r chi.Router) {
	handle := func(fn func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
		return httpapi.Handler(ErrorList, fn)
	}
	r.Get("/v1/volume-types", httpapi.Handler(httpapi.SlugMessage, s.listTypes))
	r.Get("/v1/volumes", httpapi.Handler(httpapi.SlugMessage, s.listVolumes))
	r.Post("/v1/volumes", handle(s.createVolume))
	r.Get("/v1/volumes/{id}", handle(s.getVolume))
	r.Delete("/v1/volumes/{id}", handle(s.deleteVolume))
	r.Patch("/v1/volumes/{id}/rename", handle(s.renameVolume))
	r.Post("/v1/volumes/{id}/extend", handle(s.extend))
	r.Post("/v1/volumes/{id}/retype", handle(s.retype))
	r.Post("/v1/volumes/{id}/attach/{instance}", handle(s.attach))
	r.Post("/v1/volumes/{id}/detach", handle(s.detach))
	r.Post("/v1/attachments", handle(s.createAttachment))
	r.Delete("/v1/attachments/{id}", handle(s.detach)) // an attachment's id is its volume's
	r.Get("/v1/snapshots", handle(s.listSnapshots))
	r.Post("/v1/snapshots", handle(s.createSnapshot))
	r.Get("/v1/snapshots/{id}", handle(s.getSnapshot))
	r.Delete("/v1/snapshots/{id}", handle(s.deleteSnapshot))
	r.Patch("/v1/snapshots/{id}/rename", handle(s.renameSnapshot))
	r.Get("/v1/schedulers", handle(s.listSchedulers))
	r.Post("/v1/schedulers", handle(s.createScheduler))
	r.Get("/v1/schedulers/{id}", handle(s.getScheduler))
	r.Delete("/v1/schedulers/{id}", handle(s.deleteScheduler))
	r.Post("/v1/schedulers/{id}/attach", handle(s.attachScheduler))
	r.Post("/v1/schedulers/{id}/detach", handle(s.detachScheduler))
	httpapi.RegisterUnavailable(r, ErrorList, Unavailable)
}
