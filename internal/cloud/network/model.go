package network

import (
	"net/netip"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
)

// Statuses of VPCs; of the other objects only StatusCreated is ever seen.
const (
	StatusPending = "pending"
	StatusCreated = "created"
)

// DefaultVPCName is the name of the VPC that every tenant has.
const DefaultVPCName = "vpc_default"

// VPC is a private network. Times are as package store keeps them.
type VPC struct {
	ID, TenantID, Name, Description string
	Default                         bool
	EdgeAddress                     netip.Addr
	Status, Error                   string
	CreatedAt, UpdatedAt            string
}

// Subnet of a VPC, in a zone (bare letter).
type Subnet struct {
	ID, VPCID, Name, Description, Zone, PoolID string
	CIDR                                       netip.Prefix
	Nameservers                                []netip.Addr
	CreatedAt, UpdatedAt                       string

	lastHost netip.Addr
}

// Gateway is the router's address in the subnet: the first one.
func (s Subnet) Gateway() netip.Addr { return s.CIDR.Addr().Next() }

// Port is the network interface of a VM.
type Port struct {
	ID, Name, TenantID, VPCID, SubnetID string
	Zone                                string // with region, such as br-se1-a
	MAC                                 string
	IP                                  netip.Addr
	Prefix                              netip.Prefix // of the subnet
	Gateway                             netip.Addr
	Nameservers                         []netip.Addr // none: use Gateway
	PublicIP                            netip.Addr   // invalid: none
	PublicIPID                          string
	SecurityGroupIDs                    []string
	SpoofGuard                          bool
	Wired                               bool   // it may be plugged; else the kernel does not hear of it
	DeviceID                            string // the instance it belongs to; "": none
	DeviceIndex                         int    // which of its interfaces the port is; see Leaving
	CreatedAt, UpdatedAt                string
}

// PublicIP is an address of the public pool. At most one of PortID and Owner (a
// load balancer) is set.
type PublicIP struct {
	ID, TenantID, VPCID, Description string
	Address                          netip.Addr
	PortID, Owner                    string
	CreatedAt, UpdatedAt             string
}

// SecurityGroup filters the traffic of ports. VPCID is set for default groups only.
type SecurityGroup struct {
	ID, TenantID, VPCID, Name, Description string
	CreatedAt, UpdatedAt                   string
}

// Rule lets traffic through. Empty fields match everything.
type Rule struct {
	ID, GroupID, Direction, EtherType, Protocol string
	PortMin, PortMax                            *int
	RemotePrefix, RemoteGroupID, Description    string
	CreatedAt                                   string
}

// Values of Rule.
const (
	Ingress = "ingress"
	Egress  = "egress"
	IPv4    = "IPv4"
	IPv6    = "IPv6"
)

func (r Rule) plane() dataplane.Rule {
	rule := dataplane.Rule{Egress: r.Direction == Egress, Protocol: r.Protocol, PortMax: -1}
	if r.PortMin != nil {
		rule.HasPorts, rule.PortMin = true, *r.PortMin
	}
	if r.PortMax != nil {
		rule.PortMax = *r.PortMax
	}
	if r.RemotePrefix != "" {
		rule.Remote = netip.MustParsePrefix(r.RemotePrefix)
	}
	if r.RemoteGroupID != "" {
		rule.RemoteGroup = short(r.RemoteGroupID)
	}
	return rule
}
