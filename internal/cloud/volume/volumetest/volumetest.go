// Package volumetest runs block storage for tests of its clients: the real
// service over HTTP, with real files and loop devices, and folders in the place
// of VMs' root file systems. It needs root.
package volumetest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/compute/container"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/volume"
	"magalu.cloud/mke/internal/cloud/volume/loop"
)

// Who asks, and the zones there are.
const (
	APIKey   = "33333333-3333-4333-8333-333333333333"
	TenantID = "22222222-2222-4222-8222-222222222222"
	Region   = "br-se1"
	Zone     = Region + "-a"
)

// Cloud is a region that has nothing but block storage.
type Cloud struct {
	URL string // as of https://api.magalu.cloud: block storage is below /br-se1/volume
	dir string

	db     *store.DB
	driver *loop.Driver
	stop   func()

	mu        sync.Mutex
	service   *volume.Service
	handler   http.Handler
	instances map[string]compute.Instance
}

// Start starts a cloud that ends, with all it made, when the test does.
func Start(t testing.TB) *Cloud {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
	dir := t.TempDir()
	db, err := store.Open(context.Background(), filepath.Join(dir, "cloud.db"))
	must(t, err)
	c := &Cloud{dir: dir, db: db, stop: func() {}, instances: map[string]compute.Instance{}}
	c.driver, err = loop.New(dir)
	must(t, err)
	c.Restart(t)
	t.Cleanup(func() {
		c.stop()
		must(t, db.Close())
		must(t, c.driver.Teardown(context.Background()))
	})
	router := chi.NewRouter()
	router.Use(httpapi.RequestIDs, httpapi.Recover, httpapi.LimitBody, httpapi.Authenticate(c, volume.ErrorList))
	router.Mount("/"+Region+"/volume", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		handler := c.handler
		c.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	server := httptest.NewServer(router)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Restart ends the service, as the end of the daemon would, and starts it again.
func (c *Cloud) Restart(t testing.TB) {
	t.Helper()
	c.stop()
	s, err := volume.New(context.Background(), c.db, volume.Config{
		Zones: []string{Zone, Region + "-b", Region + "-c"}, Driver: c.driver, Machines: machines{c}, Instances: c.instance,
		Logger: slog.New(slog.DiscardHandler),
	})
	must(t, err)
	router := chi.NewRouter()
	s.Register(router)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("volumes: %v", err)
		}
	}
	c.mu.Lock()
	c.service, c.handler = s, router
	c.mu.Unlock()
}

// AddInstance adds a running instance and returns the folder that is its /dev.
func (c *Cloud) AddInstance(t testing.TB, id, zone string) (dev string) {
	t.Helper()
	dev = filepath.Join(c.root(id), "dev")
	must(t, os.MkdirAll(dev, 0o755))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instances[id] = compute.Instance{ID: id, TenantID: TenantID, Name: "vm-" + id[:8], AvailabilityZone: zone, State: "running", Status: "completed",
		CreatedAt: store.Now(), UpdatedAt: store.Now()}
	return dev
}

// DeleteInstance destroys an instance; its volumes are detached.
func (c *Cloud) DeleteInstance(t testing.TB, id string) {
	t.Helper()
	c.mu.Lock()
	delete(c.instances, id)
	service := c.service
	c.mu.Unlock()
	must(t, os.RemoveAll(c.root(id)))
	must(t, service.Release(context.Background(), id))
}

func (c *Cloud) root(id string) string { return filepath.Join(c.dir, "instances", id) }

func (c *Cloud) instance(_ context.Context, _ store.Queryer, id string) (compute.Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.instances[id]
	if !ok {
		return i, store.ErrNotFound
	}
	return i, nil
}

// Authenticate implements httpapi.Authenticator.
func (c *Cloud) Authenticate(_ context.Context, key string) (httpapi.Identity, error) {
	if key != APIKey {
		return httpapi.Identity{}, httpapi.ErrUnknownKey
	}
	return httpapi.Identity{TenantID: TenantID, Scopes: []string{"*"}}, nil
}

// machines are the instances' folders.
type machines struct{ *Cloud }

func (m machines) SetDevices(ctx context.Context, id string, devices []compute.Device) error {
	if _, err := m.instance(ctx, nil, id); err != nil {
		return nil //nolint:nilerr // it does not run
	}
	root, err := os.OpenRoot(m.root(id))
	if err != nil {
		return fmt.Errorf("instance %s: %w", id, err)
	}
	defer root.Close()
	return container.MakeDevices(root, devices)
}

func (m machines) State(ctx context.Context, id string) (compute.Phase, compute.Exit, error) {
	if _, err := m.instance(ctx, nil, id); errors.Is(err, store.ErrNotFound) {
		return compute.Absent, compute.ExitUnknown, nil
	}
	return compute.Running, compute.ExitUnknown, nil
}

func (machines) Pause(context.Context, string) error  { return nil }
func (machines) Resume(context.Context, string) error { return nil }
