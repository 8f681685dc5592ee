package dataplane_test

import (
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/golden"
)

// fullRouter uses everything that a ruleset can contain.
func fullRouter() dataplane.Router {
	r := testRouter("11111111", "198.51.100.2")
	any4 := netip.MustParsePrefix("0.0.0.0/0")
	r.Groups = append(r.Groups, dataplane.Group{ID: "full", Rules: []dataplane.Rule{
		{Protocol: "tcp", HasPorts: true, PortMin: 22, PortMax: 22, Remote: netip.MustParsePrefix("10.0.0.0/8")},
		{Protocol: "udp", HasPorts: true, PortMin: 4789, PortMax: 4789, RemoteGroup: "open"},
		{Protocol: "icmp"},
		{Protocol: "icmp", HasPorts: true, PortMin: 8, PortMax: -1},
		{Protocol: "icmp", HasPorts: true, PortMin: 3, PortMax: 4},
		{Protocol: "47", Remote: any4},
		{Protocol: "tcp"},
		{Egress: true, Remote: netip.MustParsePrefix("172.26.0.0/16")},
	}})
	r.Ports = append(r.Ports, testPort("00000004", "bbbbbbbb", "172.26.16.6", "full", "open"), testPort("00000005", "bbbbbbbb", "172.26.16.7"))
	r.Ports[4].SpoofGuard = false
	r.PublicIPs = []dataplane.PublicIP{
		{Address: netip.MustParseAddr("198.51.100.101"), Target: netip.MustParseAddr("172.26.0.5")},
		{Address: netip.MustParseAddr("198.51.100.102")},
	}
	return r
}

func TestRuleset(t *testing.T) {
	golden.Match(t, "testdata/ruleset.nft", dataplane.Ruleset(fullRouter(), testConfig.Edge))
}

// The order of what was read from the database must not matter: it would load the rules anew.
func TestRulesetIsStable(t *testing.T) {
	r := fullRouter()
	want := dataplane.Ruleset(r, testConfig.Edge)
	slices.Reverse(r.Ports)
	slices.Reverse(r.Groups)
	slices.Reverse(r.Subnets)
	slices.Reverse(r.PublicIPs)
	for i := range r.Groups {
		slices.Reverse(r.Groups[i].Rules)
	}
	if diff := cmp.Diff(want, dataplane.Ruleset(r, testConfig.Edge)); diff != "" {
		t.Errorf("another order gives another ruleset:\n%s", diff)
	}
}

func TestKernelAcceptsRulesets(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
	empty := dataplane.Router{ID: "22222222", EdgeIP: netip.MustParseAddr("198.51.100.3")}
	for _, r := range []dataplane.Router{fullRouter(), empty} {
		ruleset := dataplane.Ruleset(r, testConfig.Edge)
		cmd := exec.Command("unshare", "--net", "nft", "-c", "-f", "-")
		cmd.Stdin = strings.NewReader(ruleset)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("nft: %v: %s\n%s", err, output, ruleset)
		}
	}
}

func BenchmarkKernelApply100Ports(b *testing.B) {
	plane, r := newPlane(b), testRouter("11111111", "198.51.100.2")
	addr := netip.MustParseAddr("172.26.1.1")
	for i := range 100 {
		r.Ports = append(r.Ports, testPort("1000"+string(rune('0'+i/100))+string(rune('0'+i/10%10))+string(rune('0'+i%10))+"0", "aaaaaaaa", addr.String(), "open"))
		addr = addr.Next()
	}
	for i := 0; b.Loop(); i++ {
		r.Groups[1].Rules = []dataplane.Rule{{Egress: true}, {Protocol: "tcp", HasPorts: true, PortMin: 1, PortMax: 1 + i%2}} // a change each time
		if err := plane.Apply(b.Context(), r); err != nil {
			b.Fatal(err)
		}
	}
}
