package dataplane

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// uses is what connections of a router may rely on: the addresses of its ports,
// and public IPs with what they are translated to.
type uses map[PublicIP]bool

func usesOf(r Router) uses {
	all := uses{}
	for _, port := range r.Ports {
		all[PublicIP{Address: port.IP}] = true
	}
	for _, public := range r.PublicIPs {
		all[public] = true
	}
	return all
}

// cutConnections forgets the connections of addresses that were in use when
// Apply was called before and are not any more. Otherwise they would live on
// with the next owner of the address, past the security groups.
func (p *Plane) cutConnections(r Router) error {
	now := usesOf(r)
	p.mu.Lock()
	before := p.inUse[r.ID]
	p.mu.Unlock()
	gone := goneAddresses{}
	for use := range before {
		if !now[use] {
			gone[use.Address] = true
		}
	}
	if len(gone) > 0 {
		if err := forgetConnections(p.NetnsPath(r.ID), gone); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inUse[r.ID] = now
	return nil
}

func forgetConnections(netnsPath string, gone goneAddresses) error {
	handle, ns, err := openNetns(netnsPath, unix.NETLINK_NETFILTER)
	if err != nil {
		return err
	}
	defer ns.Close()
	defer handle.Close()
	if _, err := handle.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, gone); err != nil {
		return fmt.Errorf("forget connections: %w", err)
	}
	return nil
}

type goneAddresses map[netip.Addr]bool

// MatchConntrackFlow tells whether either direction of a connection has one of the addresses.
func (g goneAddresses) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, ip := range []net.IP{flow.Forward.SrcIP, flow.Forward.DstIP, flow.Reverse.SrcIP, flow.Reverse.DstIP} {
		if addr, ok := netip.AddrFromSlice(ip); ok && g[addr.Unmap()] {
			return true
		}
	}
	return false
}
