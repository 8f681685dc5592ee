package haproxy

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"magalu.cloud/mke/internal/golden"
)

func fullSpec() Spec {
	return Spec{
		VIP: netip.MustParseAddr("172.26.0.9"), Public: netip.MustParseAddr("198.51.100.9"),
		Listeners: []Listener{{ID: "l-1", BackendID: "b-1", Port: 6443}, {ID: "l-2", BackendID: "b-2", Port: 80}},
		Backends: []Backend{
			{ID: "b-1", CloseOnFailure: true, Check: &Check{Port: 6443, Interval: time.Second, Timeout: 2 * time.Second, Rise: 1, Fall: 2},
				Targets: []Target{{ID: "t-1", Address: netip.MustParseAddrPort("172.26.0.5:6443")}, {ID: "t-2", Address: netip.MustParseAddrPort("172.26.0.6:6443")}}},
			{ID: "b-2", Check: &Check{HTTP: true, Path: "/healthz?full=1", Status: 204, Port: 8080, Interval: 30 * time.Second, Timeout: 10 * time.Second, Rise: 8, Fall: 3}},
			{ID: "b-3", Targets: []Target{{ID: "t-3", Address: netip.MustParseAddrPort("172.26.0.7:53")}}},
		},
	}
}

func TestConfig(t *testing.T) {
	golden.Match(t, "testdata/haproxy.cfg", fill(skeleton(fullSpec(), "/data/lb/1"), fullSpec()))
}

// What can be changed in place must not change the skeleton, all else must.
func TestSkeleton(t *testing.T) {
	before := skeleton(fullSpec(), "/data")
	for name, tc := range map[string]struct {
		change  func(*Spec)
		inPlace bool
	}{
		"targets":     {func(s *Spec) { s.Backends[0].Targets = nil }, true},
		"ACLs":        {func(s *Spec) { s.ACLs = []ACL{{Source: everyone}} }, true},
		"certificate": {func(s *Spec) { s.Listeners[0].Certificate = "another" }, false},
		"listener":    {func(s *Spec) { s.Listeners[0].Port = 1 }, false},
		"check":       {func(s *Spec) { s.Backends[0].Check.Rise = 9 }, false},
		"no check":    {func(s *Spec) { s.Backends[0].Check = nil }, false},
		"on failure":  {func(s *Spec) { s.Backends[0].CloseOnFailure = false }, false},
		"public IP":   {func(s *Spec) { s.Public = netip.Addr{} }, false},
		"new backend": {func(s *Spec) { s.Backends = append(s.Backends, Backend{ID: "b-4"}) }, false},
	} {
		spec := fullSpec()
		tc.change(&spec)
		if same := skeleton(spec, "/data") == before; same != tc.inPlace {
			t.Errorf("%s: changes in place: %v, want %v", name, same, tc.inPlace)
		}
	}
}

func TestHAProxyAcceptsConfig(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root, for HAProxy to become its user")
	}
	dir := t.TempDir()
	spec := fullSpec()
	spec.ACLs = []ACL{{Source: netip.MustParsePrefix("10.0.0.0/8"), Allow: true}}
	if err := os.WriteFile(filepath.Join(dir, mapFile), []byte(aclMap(spec)), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, configFile)
	if err := os.WriteFile(path, []byte(fill(skeleton(spec, dir), spec)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(context.Background(), path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := check(context.Background(), path); err == nil {
		t.Error("nonsense was accepted")
	}
}

func TestACLMap(t *testing.T) {
	allow := func(source string) ACL { return ACL{Source: netip.MustParsePrefix(source), Allow: true} }
	deny := func(source string) ACL { return ACL{Source: netip.MustParsePrefix(source)} }
	for _, tc := range []struct {
		name string
		spec Spec
		want []string
	}{
		{"none lets everyone in", Spec{}, []string{"0.0.0.0/0 allow"}},
		{"an allowance keeps the rest out", Spec{ACLs: []ACL{allow("10.0.0.0/8")}}, []string{"0.0.0.0/0 deny", "10.0.0.0/8 allow"}},
		{"a denial lets the rest in", Spec{ACLs: []ACL{deny("10.0.0.0/8")}}, []string{"0.0.0.0/0 allow", "10.0.0.0/8 deny"}},
		{"the rest denied by name", Spec{DenyRest: true}, []string{"0.0.0.0/0 deny"}},
		{"the rest allowed by an entry", Spec{ACLs: []ACL{allow("0.0.0.0/0"), deny("10.0.0.0/8")}}, []string{"0.0.0.0/0 allow", "10.0.0.0/8 deny"}},
		{"of opposites the denial wins", Spec{ACLs: []ACL{deny("10.0.0.0/8"), allow("10.0.0.0/8")}}, []string{"0.0.0.0/0 deny", "10.0.0.0/8 deny"}},
		{"in either order", Spec{ACLs: []ACL{allow("10.0.0.0/8"), deny("10.0.0.0/8")}}, []string{"0.0.0.0/0 deny", "10.0.0.0/8 deny"}},
		{"IPv6 only counts for the rest", Spec{ACLs: []ACL{allow("fd00::/8")}}, []string{"0.0.0.0/0 deny"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(strings.Join(tc.want, "\n")+"\n", aclMap(tc.spec)); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseServers(t *testing.T) {
	const answer = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state ...\n" +
		"3 b-1 1 t-1 172.26.0.5 2 0 1 1 1 8 2 0 6 0 0 0 - 6443 - 0 6443 - - 6443\n" +
		"3 b-1 2 t-2 172.26.0.6 0 1 1 1 0 1 0 2 6 0 0 0 - 6444 - 0 6444 - - 6444\n"
	got, err := parseServers(answer)
	if err != nil {
		t.Fatal(err)
	}
	want := []server{{name: "t-1"}, {name: "t-2", maintenance: true}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(server{})); diff != "" {
		t.Errorf("servers (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"", "Can't find backend.", "2\n", "1\n3 b-1 1 t-1\n"} {
		if _, err := parseServers(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
