package network

import (
	"net/netip"
	"testing"
)

func addrs(texts ...string) map[netip.Addr]bool {
	set := map[netip.Addr]bool{}
	for _, text := range texts {
		set[netip.MustParseAddr(text)] = true
	}
	return set
}

func TestNextFree(t *testing.T) {
	for _, tc := range []struct {
		name, prefix, last string
		taken              map[netip.Addr]bool
		want               string // "" for none
	}{
		{"first", "10.0.0.0/29", "", addrs("10.0.0.1"), "10.0.0.2"},
		{"behind the last one", "10.0.0.0/29", "10.0.0.3", addrs("10.0.0.1"), "10.0.0.4"},
		{"goes round, never network or broadcast", "10.0.0.0/29", "10.0.0.6", addrs("10.0.0.1"), "10.0.0.2"},
		{"skips what is taken", "10.0.0.0/29", "10.0.0.2", addrs("10.0.0.3", "10.0.0.4"), "10.0.0.5"},
		{"the last one again when it alone is free", "10.0.0.0/30", "10.0.0.2", addrs("10.0.0.1"), "10.0.0.2"},
		{"full", "10.0.0.0/30", "10.0.0.2", addrs("10.0.0.1", "10.0.0.2"), ""},
		{"last of another range", "10.0.0.0/29", "172.16.0.9", addrs(), "10.0.0.1"},
		{"end of the address space", "255.255.255.248/29", "255.255.255.254", addrs(), "255.255.255.249"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var last netip.Addr
			if tc.last != "" {
				last = netip.MustParseAddr(tc.last)
			}
			got, ok := nextFree(netip.MustParsePrefix(tc.prefix), last, tc.taken)
			if ok != (tc.want != "") || ok && got.String() != tc.want {
				t.Errorf("got %s, %v, want %q", got, ok, tc.want)
			}
		})
	}
}

func TestPickRange(t *testing.T) {
	pool := netip.MustParsePrefix("172.26.0.0/16")
	taken := []netip.Prefix{netip.MustParsePrefix("172.26.0.0/20"), netip.MustParsePrefix("172.26.32.0/20")}
	for _, tc := range []struct {
		name, want string
		bits       int
		got        string // "" for an error
	}{
		{"a free one", "172.26.16.0/20", 0, "172.26.16.0/20"},
		{"a taken one", "172.26.8.0/24", 0, ""},
		{"one outside", "10.0.0.0/20", 0, ""},
		{"one larger than the pool", "172.0.0.0/8", 0, ""},
		{"by size, in a gap", "", 24, "172.26.16.0/24"},
		{"by size, behind", "", 19, "172.26.64.0/19"},
		{"by size, none left", "", 16, ""},
		{"size out of range", "", 8, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want netip.Prefix
			if tc.want != "" {
				want = netip.MustParsePrefix(tc.want)
			}
			got, err := pickRange(pool, taken, want, tc.bits)
			if (err == nil) != (tc.got != "") || err == nil && got.String() != tc.got {
				t.Errorf("got %s, %v, want %q", got, err, tc.got)
			}
		})
	}
}
