package loadbalancer

import (
	"net/netip"
	"slices"
	"time"

	"magalu.cloud/mke/internal/cloud/loadbalancer/haproxy"
)

// Statuses of a load balancer. A change makes a running one updating, until it is in force.
const (
	StatusCreating = "creating"
	StatusRunning  = "running"
	StatusUpdating = "updating"
	StatusDeleting = "deleting"
)

// LoadBalancer is a TCP proxy in a VPC.
type LoadBalancer struct {
	ID, TenantID, VPCID, Name string
	Status, Error             string
	DeletePublicIP            bool
	Generation                int64
	Document                  Document
	CreatedAt, UpdatedAt      string
}

// Document is what of a load balancer is kept as JSON.
type Document struct {
	Description  string
	Visibility   string
	SubnetPoolID string
	VIP          netip.Addr
	PublicIPID   string
	PublicIP     netip.Addr
	Listeners    []Listener
	Backends     []Backend
	HealthChecks []HealthCheck
	ACLs         []ACL
	Certificates []Certificate
}

// Meta is common to the parts of a load balancer. Names are unique among parts of one kind.
type Meta struct {
	ID, Name, Description string
	CreatedAt, UpdatedAt  string
}

func (m Meta) meta() Meta { return m }

// Listener accepts connections on a port, for a backend.
type Listener struct {
	Meta
	BackendID     string
	Port          int
	TLS           bool // end it here, with the certificate
	CertificateID string
}

// Backend spreads connections over targets.
type Backend struct {
	Meta
	HealthCheckID  string
	TargetsType    string // instance or raw
	Targets        []Target
	PanicThreshold float64
	CloseOnFailure bool
}

// Target is a port of a VM (NICID) or any address in reach of the VPC (Address).
type Target struct {
	ID                   string
	NICID                string
	Address              netip.Addr
	Port                 int
	CreatedAt, UpdatedAt string
}

// HealthCheck of targets; times in seconds.
type HealthCheck struct {
	Meta
	Protocol     string // tcp or http
	Path         string
	Port         int
	Status       int
	Interval     int
	Timeout      int
	InitialDelay int
	Rise, Fall   int
}

// Actions of ACLs.
const (
	Allow           = "ALLOW"
	Deny            = "DENY"
	DenyUnspecified = "DENY_UNSPECIFIED"
)

// ACL lets a range of sources in, or keeps it out. DenyUnspecified keeps out all that is not named.
type ACL struct {
	ID, Name, EtherType, Protocol, Action string
	Remote                                netip.Prefix
}

// Kinds of targets.
const (
	targetInstance = "instance"
	targetRaw      = "raw"
)

// spec translates a load balancer for HAProxy. address gives the address of a
// VM's port; targets whose port is gone are left out.
func spec(lb LoadBalancer, address func(nicID string) (netip.Addr, bool)) haproxy.Spec {
	doc := lb.Document
	s := haproxy.Spec{VIP: doc.VIP, Public: doc.PublicIP}
	for _, l := range doc.Listeners {
		listener := haproxy.Listener{ID: "l-" + l.ID, BackendID: "b-" + l.BackendID, Port: l.Port}
		if c, err := doc.certificate(l.CertificateID); err == nil {
			listener.Certificate = c.PEM
		}
		s.Listeners = append(s.Listeners, listener)
	}
	for _, b := range doc.Backends {
		s.Backends = append(s.Backends, backendSpec(doc, b, address))
	}
	for _, acl := range doc.ACLs {
		if acl.Action == DenyUnspecified {
			s.DenyRest = true
			continue
		}
		s.ACLs = append(s.ACLs, haproxy.ACL{Source: acl.Remote, Allow: acl.Action == Allow})
	}
	return s
}

func backendSpec(doc Document, b Backend, address func(nicID string) (netip.Addr, bool)) haproxy.Backend {
	backend := haproxy.Backend{ID: "b-" + b.ID, CloseOnFailure: b.CloseOnFailure}
	if i := slices.IndexFunc(doc.HealthChecks, func(c HealthCheck) bool { return c.ID == b.HealthCheckID }); i >= 0 {
		c := doc.HealthChecks[i]
		backend.Check = &haproxy.Check{HTTP: c.Protocol == "http", Path: c.Path, Status: c.Status, Port: c.Port,
			Interval: time.Duration(c.Interval) * time.Second, Timeout: time.Duration(c.Timeout) * time.Second, Rise: c.Rise, Fall: c.Fall}
	}
	for _, t := range b.Targets {
		ip, known := t.Address, true
		if t.NICID != "" {
			ip, known = address(t.NICID)
		}
		if known {
			backend.Targets = append(backend.Targets, haproxy.Target{ID: "t-" + t.ID, Address: netip.AddrPortFrom(ip, uint16(t.Port))})
		}
	}
	return backend
}
