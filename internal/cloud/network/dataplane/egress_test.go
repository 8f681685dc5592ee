package dataplane_test

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/network/nettest"
)

// TestKernelEgress runs TestEgressInside in a namespace that stands for the
// host, so that the real one neither forwards nor loses its default route.
func TestKernelEgress(t *testing.T) {
	nettest.Lock(t, egressConfig.Prefix)
	cmd := exec.Command("unshare", "--net", os.Args[0], "-test.run=^TestEgressInside$", "-test.v")
	cmd.Env = append(os.Environ(), "MKE_EGRESS_TEST=1")
	if output, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(output), "--- PASS: TestEgressInside") {
		t.Errorf("%v\n%s", err, output)
	}
}

var egressConfig = dataplane.Config{Prefix: "mke4", Edge: netip.MustParsePrefix("198.51.100.0/25"),
	HostIP: netip.MustParseAddr("198.51.100.1"), Egress: true}

func TestEgressInside(t *testing.T) {
	if os.Getenv("MKE_EGRESS_TEST") == "" {
		t.Skip("run by TestKernelEgress")
	}
	ctx := context.Background()
	plane, closed := dataplane.New(egressConfig), egressConfig
	closed.Egress = false
	nettest.Must(t, plane.Teardown(ctx))
	t.Cleanup(func() { nettest.Must(t, plane.Teardown(ctx)) })
	world := nettest.Netns(t, egressConfig.Prefix+"-world")
	run(t, "ip link set lo up; ip link add up0 type veth peer name eth0 netns "+egressConfig.Prefix+"-world; ip addr add 203.0.113.2/24 dev up0; ip link set up0 up")
	run(t, "nsenter --net="+world+" sh -c 'ip addr add 203.0.113.1/24 dev eth0; ip link set lo up; ip link set eth0 up; ip route add 198.51.100.0/25 via 203.0.113.2'")
	run(t, "ip route add default via 203.0.113.1")
	nettest.Serve(t, world, ":80", "world")

	r := testRouter("11111111", "198.51.100.2")
	r.PublicIPs = []dataplane.PublicIP{{Address: netip.MustParseAddr("198.51.100.101"), Target: netip.MustParseAddr("172.26.0.5")}}
	nettest.Must(t, plane.EnsureEdge(ctx))
	nettest.Must(t, plane.EnsureEdge(ctx))
	nettest.Must(t, plane.Apply(ctx, r))
	vm := nettest.Netns(t, egressConfig.Prefix+"-vm-1")
	nettest.Must(t, plane.Plug(ctx, r, "00000001", vm))
	nettest.Serve(t, vm, ":80", "vm")
	nettest.Open(t, vm, "203.0.113.1:80", "203.0.113.2")
	nettest.Open(t, "", "198.51.100.101:80", "198.51.100.1")
	nettest.Blocked(t, world, "198.51.100.101:80") // the world does not get in
	forwarding(t, "up0", "1")
	forwarding(t, "all", "0")

	// Switched off, as by another setting, nothing of it is left.
	plane = dataplane.New(closed)
	nettest.Must(t, plane.EnsureEdge(ctx))
	nettest.Must(t, plane.Apply(ctx, r))
	nettest.Blocked(t, vm, "203.0.113.1:80")
	forwarding(t, "up0", "0")
	if tables := run(t, "nft list tables ip"); tables != "" {
		t.Errorf("tables left: %s", tables)
	}

	// Teardown finds by itself what was switched on, and leaves what was on before.
	for _, before := range []string{"0", "1"} {
		run(t, "echo "+before+" > /proc/sys/net/ipv4/conf/up0/forwarding")
		nettest.Must(t, dataplane.New(egressConfig).EnsureEdge(ctx))
		forwarding(t, "up0", "1")
		nettest.Must(t, dataplane.New(closed).Teardown(ctx))
		forwarding(t, "up0", before)
	}
}

func run(t *testing.T, command string) string {
	t.Helper()
	output, err := exec.Command("sh", "-ec", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", command, err, output)
	}
	return string(output)
}

func forwarding(t *testing.T, link, want string) {
	t.Helper()
	got, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + link + "/forwarding")
	nettest.Must(t, err)
	if strings.TrimSpace(string(got)) != want {
		t.Errorf("forwarding of %s is %s, want %s", link, strings.TrimSpace(string(got)), want)
	}
}
