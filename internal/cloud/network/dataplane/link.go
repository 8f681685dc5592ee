package dataplane

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func isNotFound(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}

// findLink returns nil when there is no such link.
func findLink(h *netlink.Handle, name string) (netlink.Link, error) {
	link, err := h.LinkByName(name)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up link %s: %w", name, err)
	}
	return link, nil
}

func deleteLink(h *netlink.Handle, name string) error {
	link, err := findLink(h, name)
	if err != nil || link == nil {
		return err
	}
	if err := h.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

func setUp(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("look up link %s: %w", name, err)
	}
	if link.Attrs().Flags&net.FlagUp != 0 {
		return nil
	}
	if err := h.LinkSetUp(link); err != nil {
		return fmt.Errorf("set link %s up: %w", name, err)
	}
	return nil
}

// ensureBridge makes a bridge with a fixed MAC address: by default it would change with its ports.
func ensureBridge(h *netlink.Handle, name string, mac net.HardwareAddr) error {
	link, err := findLink(h, name)
	if err != nil {
		return err
	}
	if link != nil && link.Type() == "bridge" && slices.Equal(link.Attrs().HardwareAddr, mac) {
		return nil
	}
	if link != nil {
		if err := deleteLink(h, name); err != nil {
			return err
		}
	}
	snooping := false
	bridge := &netlink.Bridge{
		LinkAttrs:         netlink.LinkAttrs{Name: name, MTU: MTU, HardwareAddr: mac, TxQLen: -1},
		MulticastSnooping: &snooping,
	}
	if err := h.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge %s: %w", name, err)
	}
	return nil
}

// ensureAddresses makes want the IPv4 addresses of a link, and returns those that it added.
func ensureAddresses(h *netlink.Handle, name string, want []netip.Prefix) (added []netip.Prefix, err error) {
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("look up link %s: %w", name, err)
	}
	have, err := h.AddrList(link, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("list addresses of %s: %w", name, err)
	}
	present := map[netip.Prefix]bool{}
	for _, addr := range have {
		prefix := toPrefix(addr.IPNet)
		if slices.Contains(want, prefix) {
			present[prefix] = true
			continue
		}
		if err := h.AddrDel(link, &addr); err != nil && !errors.Is(err, unix.EADDRNOTAVAIL) {
			return nil, fmt.Errorf("remove address %s from %s: %w", prefix, name, err)
		}
	}
	for _, prefix := range want {
		if present[prefix] {
			continue
		}
		addr := &netlink.Addr{IPNet: toIPNet(prefix)}
		if err := h.AddrAdd(link, addr); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("add address %s to %s: %w", prefix, name, err)
		}
		added = append(added, prefix)
	}
	return added, nil
}

func toIPNet(prefix netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}
}

func toPrefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	addr, _ := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones)
}

func single(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }

// disableIPv6 keeps the host from having link-local addresses on our links. A
// kernel without IPv6 has no such setting, which is as good.
func disableIPv6(link string) {
	_ = writeSysctl("net.ipv6.conf."+link+".disable_ipv6", "1")
}
