package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// vmLink is the name of a port's link inside the VM; the first one has the default route.
func (p Port) vmLink() string { return "eth" + strconv.Itoa(p.Index) }

// Plug connects a port of r to the namespace of a VM: there it is eth<Index>, with
// address and route. Filters must be loaded before (Apply). What is
// already right stays as it is, so a running VM notices nothing.
func (p *Plane) Plug(ctx context.Context, r Router, portID, vmNetns string) error {
	port, subnet, err := portOf(r, portID)
	if err != nil {
		return err
	}
	router, routerNS, err := openNetns(p.NetnsPath(r.ID))
	if err != nil {
		return err
	}
	defer routerNS.Close()
	defer router.Close()
	vm, vmNS, err := openNetns(vmNetns)
	if err != nil {
		return err
	}
	defer vmNS.Close()
	defer vm.Close()

	bridge, err := router.LinkByName(bridgeName(subnet.ID))
	if err != nil {
		return fmt.Errorf("look up the bridge of subnet %s: %w", subnet.ID, err)
	}
	name, vmLink := portName(port.ID), port.vmLink()
	outer, err := findLink(router, name)
	if err != nil {
		return err
	}
	inner, err := findLink(vm, vmLink)
	if err != nil {
		return err
	}
	if !connected(outer, inner, port) {
		if err := errors.Join(deleteLink(router, name), deleteLink(vm, vmLink)); err != nil {
			return err
		}
		cable := &netlink.Veth{
			LinkAttrs:        netlink.LinkAttrs{Name: name, MTU: MTU, MasterIndex: bridge.Attrs().Index, TxQLen: -1},
			PeerName:         vmLink,
			PeerHardwareAddr: port.MAC,
			PeerMTU:          MTU,
			PeerNamespace:    netlink.NsFd(int(vmNS)),
		}
		if err := router.LinkAdd(cable); err != nil {
			return fmt.Errorf("make link %s: %w", name, err)
		}
		if err := hairpin(router, name); err != nil {
			return err
		}
	} else if outer.Attrs().MasterIndex != bridge.Attrs().Index {
		if err := router.LinkSetMaster(outer, bridge); err != nil {
			return fmt.Errorf("put link %s on its bridge: %w", name, err)
		}
	}
	if err := configureVM(vm, port, subnet); err != nil {
		return err
	}
	if err := setUp(router, name); err != nil {
		return err
	}
	return awaitCarrier(ctx, map[string]*netlink.Handle{vmLink: vm, name: router, bridgeName(subnet.ID): router})
}

// carrierTimeout is far above what the kernel takes (milliseconds).
const carrierTimeout = 2 * time.Second

// awaitCarrier waits until the links carry packets. The kernel does that part of
// setting a link up later; an ARP request of the VM before would be lost, and
// repeated only after a second.
func awaitCarrier(ctx context.Context, links map[string]*netlink.Handle) error {
	ctx, cancel := context.WithTimeout(ctx, carrierTimeout)
	defer cancel()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for name, handle := range links {
		for {
			link, err := handle.LinkByName(name)
			if err != nil {
				return fmt.Errorf("look up link %s: %w", name, err)
			}
			if link.Attrs().OperState == netlink.OperUp {
				break
			}
			select {
			case <-poll.C:
			case <-ctx.Done():
				return fmt.Errorf("link %s does not come up", name)
			}
		}
	}
	return nil
}

// hairpin lets a VM reach itself by its public IP: the translated packet leaves
// the bridge by the link on which it came.
func hairpin(router *netlink.Handle, name string) error {
	link, err := router.LinkByName(name)
	if err == nil {
		err = router.LinkSetHairpin(link, true)
	}
	if err != nil {
		return fmt.Errorf("set hairpin mode of %s: %w", name, err)
	}
	return nil
}

// Unplug takes a port out of its VM. Doing it again succeeds.
func (p *Plane) Unplug(_ context.Context, routerID, portID string) error {
	if !isNetns(p.NetnsPath(routerID)) {
		return nil
	}
	router, ns, err := openNetns(p.NetnsPath(routerID))
	if err != nil {
		return err
	}
	defer ns.Close()
	defer router.Close()
	return deleteLink(router, portName(portID))
}

func portOf(r Router, portID string) (Port, Subnet, error) {
	i := slices.IndexFunc(r.Ports, func(port Port) bool { return port.ID == portID })
	if i < 0 {
		return Port{}, Subnet{}, fmt.Errorf("router %s has no port %s", r.ID, portID)
	}
	j := slices.IndexFunc(r.Subnets, func(s Subnet) bool { return s.ID == r.Ports[i].SubnetID })
	if j < 0 {
		return Port{}, Subnet{}, fmt.Errorf("router %s has no subnet %s", r.ID, r.Ports[i].SubnetID)
	}
	return r.Ports[i], r.Subnets[j], nil
}

// connected tells whether the two links are the ends of the port's cable.
func connected(outer, inner netlink.Link, port Port) bool {
	return outer != nil && inner != nil &&
		outer.Attrs().ParentIndex == inner.Attrs().Index && inner.Attrs().ParentIndex == outer.Attrs().Index &&
		slices.Equal(inner.Attrs().HardwareAddr, port.MAC)
}

// configureVM gives the VM what it would learn by DHCP. Addresses that the VM
// added itself stay.
func configureVM(vm *netlink.Handle, port Port, subnet Subnet) error {
	vmLink := port.vmLink()
	for _, name := range []string{"lo", vmLink} {
		if err := setUp(vm, name); err != nil {
			return err
		}
	}
	link, err := vm.LinkByName(vmLink)
	if err != nil {
		return fmt.Errorf("look up %s in the VM: %w", vmLink, err)
	}
	addr := &netlink.Addr{IPNet: toIPNet(netip.PrefixFrom(port.IP, subnet.Prefix.Bits()))}
	if port.Index > 0 {
		addr.Flags = unix.IFA_F_NOPREFIXROUTE // all else leaves by the first interface: see routeBySource
	}
	if err := vm.AddrReplace(link, addr); err != nil {
		return fmt.Errorf("give %s to the VM: %w", port.IP, err)
	}
	route := &netlink.Route{
		LinkIndex: link.Attrs().Index,
		Dst:       toIPNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)),
		Gw:        subnet.Gateway.AsSlice(),
	}
	if port.Index > 0 {
		return routeBySource(vm, port, subnet, route)
	}
	if err := vm.RouteReplace(route); err != nil {
		return fmt.Errorf("set the VM's default route: %w", err)
	}
	return nil
}

// sourceTables is the first of the routing tables for further interfaces.
const sourceTables = 100

// routeBySource sends what has a further interface's address out of that
// interface: from another one it would be a made-up source.
func routeBySource(vm *netlink.Handle, port Port, subnet Subnet, way *netlink.Route) error {
	table := sourceTables + port.Index
	way.Table = table
	local := &netlink.Route{LinkIndex: way.LinkIndex, Dst: toIPNet(subnet.Prefix), Scope: netlink.SCOPE_LINK, Table: table}
	for _, route := range []*netlink.Route{local, way} {
		if err := vm.RouteReplace(route); err != nil {
			return fmt.Errorf("set a route of the VM's interface %d: %w", port.Index, err)
		}
	}
	rules, err := vm.RuleList(netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list the VM's routing rules: %w", err)
	}
	source, found := netip.PrefixFrom(port.IP, port.IP.BitLen()), false
	for _, rule := range rules {
		switch from := toPrefix(rule.Src); {
		case from == source && rule.Table == table:
			found = true
		case rule.Table == table, from == source: // of a port that was here before
			if err := vm.RuleDel(&rule); err != nil {
				return fmt.Errorf("remove a routing rule of the VM: %w", err)
			}
		}
	}
	if found {
		return nil
	}
	rule := netlink.NewRule()
	rule.Family, rule.Src, rule.Table = netlink.FAMILY_V4, toIPNet(source), table
	if err := vm.RuleAdd(rule); err != nil {
		return fmt.Errorf("add a routing rule to the VM: %w", err)
	}
	return nil
}
