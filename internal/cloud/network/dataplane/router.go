package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// edgeLink is the router's end of its cable to the edge bridge.
const edgeLink = "edge"

// Apply makes the kernel agree with r: what is missing is made, what differs is
// changed, what does not belong is removed. Links of ports are only removed
// here; Plug makes them. Filters are loaded before anything can carry a packet.
func (p *Plane) Apply(ctx context.Context, r Router) error {
	made, err := EnsureNetns(p.netnsName(r.ID))
	if err != nil {
		return err
	}
	path := p.NetnsPath(r.ID)
	if made {
		p.forget(r.ID)
	}
	if err := Inside(path, routerSysctls); err != nil {
		return err
	}
	if err := p.loadRules(ctx, r); err != nil {
		return err
	}
	handle, ns, err := openNetns(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	defer handle.Close()

	if err := removeStrangers(handle, r); err != nil {
		return err
	}
	if err := applyLoopback(handle); err != nil {
		return err
	}
	for _, subnet := range r.Subnets {
		if err := applySubnet(handle, subnet, r.VIPs); err != nil {
			return err
		}
	}
	added, err := p.applyEdge(handle, ns, r)
	if err != nil {
		return err
	}
	if err := p.applyRoutes(handle, r); err != nil {
		return err
	}
	if err := announce(path, MACFor(r.EdgeIP), added); err != nil {
		return err
	}
	return p.cutConnections(r)
}

// routerSysctls runs inside the namespace.
func routerSysctls() error {
	for name, value := range map[string]string{
		"net.ipv4.ip_forward":                       "1",
		"net.ipv4.conf.all.rp_filter":               "0",
		"net.ipv4.conf.default.rp_filter":           "0",
		"net.ipv4.conf.all.send_redirects":          "0",
		"net.ipv4.conf.default.send_redirects":      "0",
		"net.ipv4.conf.all.arp_ignore":              "1", // an address is answered for on its own link only
		"net.bridge.bridge-nf-call-iptables":        "1", // what stays in a subnet passes the security groups too
		"net.netfilter.nf_conntrack_tcp_be_liberal": "1", // never kill a long connection over its window
	} {
		if err := writeSysctl(name, value); err != nil {
			return fmt.Errorf("set %s in the router: %w", name, err)
		}
	}
	for _, name := range []string{"all", "default"} {
		disableIPv6(name)
	}
	return nil
}

// removeStrangers removes the bridges and port links that r does not have.
func removeStrangers(h *netlink.Handle, r Router) error {
	keep := map[string]bool{}
	for _, subnet := range r.Subnets {
		keep[bridgeName(subnet.ID)] = true
	}
	for _, port := range r.Ports {
		keep[portName(port.ID)] = true
	}
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list links of router %s: %w", r.ID, err)
	}
	for _, link := range links {
		name := link.Attrs().Name
		ours := strings.HasPrefix(name, bridgeName("")) || strings.HasPrefix(name, portName(""))
		if ours && !keep[name] {
			if err := deleteLink(h, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func applyLoopback(h *netlink.Handle) error {
	if err := setUp(h, "lo"); err != nil {
		return err
	}
	_, err := ensureAddresses(h, "lo", []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), single(MetadataAddress)})
	return err
}

func applySubnet(h *netlink.Handle, subnet Subnet, vips []VIP) error {
	name := bridgeName(subnet.ID)
	if err := ensureBridge(h, name, MACFor(subnet.Gateway)); err != nil {
		return err
	}
	addresses := []netip.Prefix{netip.PrefixFrom(subnet.Gateway, subnet.Prefix.Bits())}
	for _, vip := range vips {
		if vip.SubnetID == subnet.ID {
			addresses = append(addresses, single(vip.Address))
		}
	}
	if _, err := ensureAddresses(h, name, addresses); err != nil {
		return err
	}
	return setUp(h, name)
}

// applyEdge connects the router to the edge and returns the addresses that are new there.
func (p *Plane) applyEdge(h *netlink.Handle, ns netns.NsHandle, r Router) ([]netip.Addr, error) {
	if err := p.ensureUplink(h, ns, r); err != nil {
		return nil, err
	}
	want := []netip.Prefix{netip.PrefixFrom(r.EdgeIP, p.cfg.Edge.Bits())}
	for _, public := range r.PublicIPs {
		want = append(want, single(public.Address))
	}
	added, err := ensureAddresses(h, edgeLink, want)
	if err != nil {
		return nil, err
	}
	if err := setUp(h, edgeLink); err != nil {
		return nil, err
	}
	addresses := make([]netip.Addr, len(added))
	for i, prefix := range added {
		addresses[i] = prefix.Addr()
	}
	return addresses, nil
}

// ensureUplink makes the cable between the namespace and the edge bridge.
func (p *Plane) ensureUplink(h *netlink.Handle, ns netns.NsHandle, r Router) error {
	host, err := netlink.NewHandle()
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer host.Close()
	bridge, err := host.LinkByName(p.EdgeBridge())
	if err != nil {
		return fmt.Errorf("look up the edge bridge: %w", err)
	}
	name := p.uplink(r.ID)
	outer, err := findLink(host, name)
	if err != nil {
		return err
	}
	inner, err := findLink(h, edgeLink)
	if err != nil {
		return err
	}
	if outer == nil || inner == nil {
		if err := errors.Join(deleteLink(host, name), deleteLink(h, edgeLink)); err != nil {
			return err
		}
		cable := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: name, MTU: MTU, MasterIndex: bridge.Attrs().Index, TxQLen: -1},
			PeerName:         edgeLink,
			PeerHardwareAddr: MACFor(r.EdgeIP),
			PeerNamespace:    netlink.NsFd(int(ns)),
		}
		if err := host.LinkAdd(cable); err != nil {
			return fmt.Errorf("make link %s: %w", name, err)
		}
		disableIPv6(name)
	} else if outer.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := host.LinkSetMaster(outer, bridge); err != nil {
			return fmt.Errorf("put link %s on the edge bridge: %w", name, err)
		}
	}
	return setUp(host, name)
}

// applyRoutes makes the router's own routes: those of the VPC's table, and the
// way to the world where there is one. Routes are ours by their protocol number.
func (p *Plane) applyRoutes(h *netlink.Handle, r Router) error {
	want := map[netip.Prefix]netip.Addr{}
	for _, route := range r.Routes {
		want[route.Destination] = route.Via
	}
	if p.cfg.Egress {
		want[netip.PrefixFrom(netip.IPv4Unspecified(), 0)] = p.cfg.HostIP
	}
	have, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: unix.RTPROT_STATIC}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return fmt.Errorf("list routes of router %s: %w", r.ID, err)
	}
	for _, route := range have {
		if via, ok := want[toPrefix(route.Dst)]; ok && route.Gw.Equal(via.AsSlice()) {
			continue
		}
		if err := h.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("remove route to %s: %w", route.Dst, err)
		}
	}
	for destination, via := range want {
		route := &netlink.Route{Dst: toIPNet(destination), Gw: via.AsSlice(), Protocol: unix.RTPROT_STATIC}
		if err := h.RouteReplace(route); err != nil {
			return fmt.Errorf("set route to %s via %s: %w", destination, via, err)
		}
	}
	return nil
}
