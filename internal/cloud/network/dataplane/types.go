// Package dataplane makes the networks of the local cloud in the kernel: a
// network namespace per VPC that routes between its subnets (bridges) and the
// edge (the bridge with the public pool), with address translation, security
// groups and protection against spoofing in nftables.
//
// Callers describe a whole Router and call Plane.Apply; it makes the kernel
// agree, whatever was there before. Nothing here is kept on disk.
package dataplane

import (
	"net"
	"net/netip"
)

// MetadataAddress is where VMs look for the metadata service; every router owns it.
var MetadataAddress = netip.MustParseAddr("169.254.169.254")

// MTU of every link, in bytes.
const MTU = 1500

// Router is everything that one VPC needs. IDs are short (8 characters): they
// become part of link names.
type Router struct {
	ID        string
	EdgeIP    netip.Addr // the router's own address on the edge, the source of what has no public IP
	Subnets   []Subnet
	Ports     []Port
	Groups    []Group
	PublicIPs []PublicIP
	VIPs      []VIP
	Routes    []Route
}

// Subnet is one bridge. VMs reach the router at Gateway.
type Subnet struct {
	ID      string
	Prefix  netip.Prefix
	Gateway netip.Addr
}

// Port is where a VM is plugged in.
type Port struct {
	ID         string
	SubnetID   string
	MAC        net.HardwareAddr
	IP         netip.Addr
	SpoofGuard bool     // only packets with IP as source leave the VM, only those with IP as destination get in
	Index      int      // which of the VM's interfaces it becomes: eth<Index>
	Groups     []string // IDs of security groups; without any, the port neither accepts nor opens connections
}

// Group is a security group: what is not allowed by a rule is dropped, answers always pass.
type Group struct {
	ID    string
	Rules []Rule
}

// Rule allows the opening of connections. Zero fields match everything.
type Rule struct {
	Egress      bool
	Protocol    string // tcp, udp, icmp, or a protocol's number
	PortMin     int    // with icmp: the type
	PortMax     int    // with icmp: the code
	HasPorts    bool
	Remote      netip.Prefix
	RemoteGroup string // ID of a group whose ports are the remote side
}

// PublicIP is an address on the edge. Without Target it is the router's own
// (for a load balancer), else it is translated to and from Target.
type PublicIP struct {
	Address netip.Addr
	Target  netip.Addr
}

// VIP is an extra address of the router in a subnet, for a load balancer.
type VIP struct {
	Address  netip.Addr
	SubnetID string
}

// Route sends packets for Destination to the VM with the address Via.
type Route struct {
	Destination netip.Prefix
	Via         netip.Addr
}

// MACFor is the MAC address that belongs to an IPv4 address: unique wherever the
// address is, and the same again when the address is given to another VM, so
// that no neighbour's ARP table goes stale.
func MACFor(ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return net.HardwareAddr{0x02, 0x4d, b[0], b[1], b[2], b[3]}
}
