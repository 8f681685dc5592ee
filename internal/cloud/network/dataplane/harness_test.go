package dataplane_test

import (
	"context"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/network/nettest"
)

// Names and addresses of these tests, so that a region may run beside them.
var testConfig = dataplane.Config{Prefix: "mke1", Edge: netip.MustParsePrefix("198.51.100.0/25"), HostIP: netip.MustParseAddr("198.51.100.1")}

func TestMain(m *testing.M) {
	nettest.WarnUnlessRoot("the data plane was")
	os.Exit(m.Run())
}

// newPlane returns a Plane in a clean environment, removed after the test.
func newPlane(t testing.TB) *dataplane.Plane {
	t.Helper()
	nettest.Lock(t, testConfig.Prefix)
	plane := dataplane.New(testConfig)
	nettest.Must(t, plane.Teardown(context.Background()))
	t.Cleanup(func() { nettest.Must(t, plane.Teardown(context.Background())) })
	nettest.Must(t, plane.EnsureEdge(context.Background()))
	return plane
}

// vm is a namespace that stands for a VM.
type vm struct {
	t    *testing.T
	path string
}

func newVM(t *testing.T, plane *dataplane.Plane, r dataplane.Router, portID string) vm {
	t.Helper()
	path := nettest.Netns(t, testConfig.Prefix+"-vm-"+r.ID+portID)
	nettest.Must(t, plane.Plug(context.Background(), r, portID, path))
	return vm{t, path}
}

func (v vm) serve(port int) { nettest.Serve(v.t, v.path, ":"+strconv.Itoa(port), "vm") }
