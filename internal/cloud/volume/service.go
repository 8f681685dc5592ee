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

type errorItem struct {
	Slug    string `json:"slug"`
	Message string `json:"message"`
	Detail  string `json:"detail"`
}

// ErrorList is [{slug, message, detail}], block storage's shape of errors.
func ErrorList(e *httpapi.Error) any { return []errorItem{{Slug: e.Slug, Message: e.Message}} }

// Register adds the published routes, relative to the product /volume.
func (s *Service) Register(r chi.Router) {
	routes := httpapi.Routes{Router: r, Shape: ErrorList}
	object := httpapi.Routes{Router: r, Shape: httpapi.SlugMessage}
	change := func(method, path string, fn func(*http.Request) error) {
		httpapi.HandleEmpty(routes, method, path, http.StatusNoContent, fn)
	}
	httpapi.Get(object, "/v1/volume-types", s.listTypes)
	httpapi.Get(object, "/v1/volumes", s.listVolumes)
	httpapi.Handle(routes, "POST", "/v1/volumes", http.StatusAccepted, s.createVolume)
	httpapi.Get(routes, "/v1/volumes/{id}", s.getVolume)
	change("DELETE", "/v1/volumes/{id}", s.deleteVolume)
	change("PATCH", "/v1/volumes/{id}/rename", s.renameVolume)
	change("POST", "/v1/volumes/{id}/extend", s.extend)
	change("POST", "/v1/volumes/{id}/retype", s.retype)
	change("POST", "/v1/volumes/{id}/attach/{instance}", s.attach)
	change("POST", "/v1/volumes/{id}/detach", s.detach)
	change("POST", "/v1/attachments", s.createAttachment)
	change("DELETE", "/v1/attachments/{id}", s.detach) // an attachment's id is its volume's
	httpapi.Get(routes, "/v1/snapshots", s.listSnapshots)
	httpapi.Handle(routes, "POST", "/v1/snapshots", http.StatusAccepted, s.createSnapshot)
	httpapi.Get(routes, "/v1/snapshots/{id}", s.getSnapshot)
	change("DELETE", "/v1/snapshots/{id}", s.deleteSnapshot)
	change("PATCH", "/v1/snapshots/{id}/rename", s.renameSnapshot)
	httpapi.Get(routes, "/v1/schedulers", s.listSchedulers)
	httpapi.Handle(routes, "POST", "/v1/schedulers", http.StatusCreated, s.createScheduler)
	httpapi.Get(routes, "/v1/schedulers/{id}", s.getScheduler)
	change("DELETE", "/v1/schedulers/{id}", s.deleteScheduler)
	change("POST", "/v1/schedulers/{id}/attach", s.attachScheduler)
	change("POST", "/v1/schedulers/{id}/detach", s.detachScheduler)
	httpapi.RegisterUnavailable(routes, Unavailable)
}
