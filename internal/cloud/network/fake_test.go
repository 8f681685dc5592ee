package network

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/store"
)

// fakePlane keeps what it was told, with the data plane's rules: a port can only
// be plugged after its router was applied with it, and goes with it.
type fakePlane struct {
	mu      sync.Mutex
	routers map[string]dataplane.Router
	plugged map[string]string // port to namespace
	applies int
	fail    error
}

func newFakePlane() *fakePlane {
	return &fakePlane{routers: map[string]dataplane.Router{}, plugged: map[string]string{}}
}

func (f *fakePlane) EnsureEdge(context.Context) error { return nil }

func (f *fakePlane) Apply(_ context.Context, r dataplane.Router) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applies++
	if f.fail != nil {
		return f.fail
	}
	f.routers[r.ID] = r
	return nil
}

func (f *fakePlane) Plug(_ context.Context, r dataplane.Router, portID, netns string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, port := range f.routers[r.ID].Ports {
		if port.ID == portID {
			f.plugged[portID] = netns
			return nil
		}
	}
	return errors.New("plugged before its rules were in force")
}

func (f *fakePlane) Unplug(_ context.Context, _, portID string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.plugged, portID)
	return nil
}

func (f *fakePlane) Remove(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return f.fail
	}
	delete(f.routers, id)
	return nil
}

func (f *fakePlane) Routers() ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	for id := range f.routers {
		ids = append(ids, id)
	}
	return ids, nil
}

func (f *fakePlane) NetnsPath(id string) string { return "/nowhere/" + id }

func (f *fakePlane) setFailure(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

// passes is how often the kernel was made to agree.
func (f *fakePlane) passes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applies
}

func (f *fakePlane) router(vpcID string) (dataplane.Router, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.routers[short(vpcID)]
	return r, ok
}

type noNames struct{}

func (noNames) serve(string, string, []dataplane.Subnet) {}
func (noNames) drop(string)                              {}
func (noNames) close()                                   {}

const testTenant, otherTenant = "7f3e4bb0-0000-4000-8000-000000000001", "7f3e4bb0-0000-4000-8000-000000000002"

var fakeConfig = Config{Region: "br-se1", PublicPool: netip.MustParsePrefix("198.51.100.0/24"), EdgeAddress: netip.MustParseAddr("198.51.100.1")}

// fakeService is a service on a database in a file, so that it can be started again.
type fakeService struct {
	*Service
	t     *testing.T
	file  string
	plane *fakePlane
	stop  func()
}

func newFakeService(t *testing.T) *fakeService {
	t.Helper()
	f := &fakeService{t: t, file: filepath.Join(t.TempDir(), "cloud.db"), plane: newFakePlane()}
	f.start()
	t.Cleanup(func() { f.stop() })
	return f
}

func (f *fakeService) start() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, f.file)
	must(f.t, err)
	f.Service, err = newService(db, withDefaults(fakeConfig), f.plane)
	must(f.t, err)
	f.resolver = noNames{}
	var running sync.WaitGroup
	service := f.Service
	running.Go(func() {
		if err := service.Run(ctx); err != nil {
			f.t.Errorf("run: %v", err)
		}
	})
	f.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		db.Close()
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(sameAddr), cmp.Comparer(samePrefix)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func sameAddr(a, b netip.Addr) bool     { return a == b }
func samePrefix(a, b netip.Prefix) bool { return a == b }
