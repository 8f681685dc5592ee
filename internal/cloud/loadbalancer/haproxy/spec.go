// Package haproxy runs one HAProxy process per load balancer in the network
// namespace of its VPC. The processes outlive the daemon: they are found again
// by their files, and changed in place wherever HAProxy can do that.
package haproxy

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Spec is what one process shall do.
type Spec struct {
	VIP       netip.Addr // listens here, and connects to targets from here
	Public    netip.Addr // listens here too, unless invalid
	Listeners []Listener
	Backends  []Backend
	// ACLs decide by the source address, the longest matching prefix wins.
	// Sources that match none are let in if, and only if, there is no Allow and
	// DenyRest is not set.
	ACLs     []ACL
	DenyRest bool
}

// checksAt tells whether the targets of a backend are checked at this port.
func (s Spec) checksAt(backend, port string) bool {
	return slices.ContainsFunc(s.Backends, func(b Backend) bool {
		return b.ID == backend && b.Check != nil && strconv.Itoa(b.Check.Port) == port
	})
}

// Listener accepts connections for a backend.
type Listener struct {
	ID, BackendID string
	Port          int
	Certificate   string // PEM with the key; not empty: TLS ends here
}

// Backend is a set of targets that take turns.
type Backend struct {
	ID             string
	Targets        []Target
	Check          *Check
	CloseOnFailure bool // close the connections of a target when its health check fails
}

// Target is one address to connect to.
type Target struct {
	ID      string
	Address netip.AddrPort
}

// Check tells how targets are checked. Until the first check fails a target is taken for healthy.
type Check struct {
	HTTP       bool
	Path       string // with HTTP
	Status     int    // expected, with HTTP
	Port       int
	Interval   time.Duration
	Timeout    time.Duration
	Rise, Fall int
}

// ACL lets a range of sources in, or keeps it out.
type ACL struct {
	Source netip.Prefix
	Allow  bool
}
