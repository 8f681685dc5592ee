// Package volumetest runs block storage for tests of its clients: the real
// service over HTTP, with real files and loop devices, and folders in the place
// of VMs' root file systems. It needs root.
package volumetest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/compute/container"
	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/daemontest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/volume"
	"magalu.cloud/mke/internal/cloud/volume/loop"
)

// Who asks, and the zones there are.
const (
	APIKey   = "33333333-3333-4333-8333-333333333333"
	TenantID = daemontest.Tenant
	Region   = "br-se1"
	Zone     = Region + "-a"
)

// Cloud is a region that has nothing but block storage.
type Cloud struct {
	URL    string // as of https://api.magalu.cloud: block storage is below /br-se1/volume
	dir    string
	daemon *daemontest.Daemon[*volume.Service]

	mu        sync.Mutex
	instances map[string]compute.Instance
}

// Start starts a cloud that ends, with all it made, when the test does.
func Start(t testing.TB) *Cloud {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
	c := &Cloud{dir: t.TempDir(), instances: map[string]compute.Instance{}}
	driver, err := loop.New(c.dir)
	must(t, err)
	t.Cleanup(func() { must(t, driver.Teardown(context.Background())) })
	c.daemon = daemontest.New(t, contracttest.Checker{}, func(ctx context.Context, db *store.DB) (*volume.Service, error) {
		return volume.New(ctx, db, volume.Config{
			Zones: []string{Zone, Region + "-b", Region + "-c"}, Driver: driver, Machines: machines{c}, Instances: c.find,
			Logger: slog.New(slog.DiscardHandler),
		})
	})
	c.daemon.Start()
	router := chi.NewRouter()
	router.Use(httpapi.RequestIDs, httpapi.Recover, httpapi.LimitBody, httpapi.Authenticate(c, volume.ErrorList))
	router.Mount("/"+Region+"/volume", c.daemon)
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
	c.mu.Unlock()
	must(t, os.RemoveAll(c.root(id)))
	must(t, c.daemon.Service().Release(context.Background(), id))
}

func (c *Cloud) root(id string) string { return filepath.Join(c.dir, "instances", id) }

func (c *Cloud) find(_ context.Context, _ store.Queryer, ids ...string) (map[string]compute.Instance, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]compute.Instance{}
	for _, id := range ids {
		if i, ok := c.instances[id]; ok {
			found[id] = i
		}
	}
	return found, nil
}

func (c *Cloud) exists(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.instances[id]
	return ok
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

func (m machines) SetDevices(_ context.Context, id string, devices []compute.Device) error {
	if !m.exists(id) {
		return nil // it does not run
	}
	root, err := os.OpenRoot(m.root(id))
	if err != nil {
		return fmt.Errorf("instance %s: %w", id, err)
	}
	defer root.Close()
	return container.MakeDevices(root, devices)
}

func (m machines) State(_ context.Context, id string) (compute.Phase, compute.Exit, error) {
	if !m.exists(id) {
		return compute.Absent, compute.ExitUnknown, nil
	}
	return compute.Running, compute.ExitUnknown, nil
}

func (machines) Pause(context.Context, string) error  { return nil }
func (machines) Resume(context.Context, string) error { return nil }
