package dataplane

import (
	"context"
	"net"
	"net/netip"
	"testing"
)

func testSubnet(id, prefix string) Subnet {
	p := netip.MustParsePrefix(prefix)
	return Subnet{ID: id, Prefix: p, Gateway: p.Addr().Next()}
}

func testPort(id, subnet, ip string, groups ...string) Port {
	addr := netip.MustParseAddr(ip)
	return Port{ID: id, SubnetID: subnet, MAC: MACFor(addr), IP: addr, SpoofGuard: true, Groups: groups}
}

var (
	groupOpen = Group{ID: "open", Rules: []Rule{{Egress: true}, {Protocol: "tcp", HasPorts: true, PortMin: 80, PortMax: 81}}}
	groupMute = Group{ID: "mute", Rules: []Rule{{Egress: true}}}
)

// testRouter has two VMs in subnet a and one in subnet b; only ports of the group open accept.
func testRouter(id string, edgeIP string) Router {
	return Router{
		ID: id, EdgeIP: netip.MustParseAddr(edgeIP),
		Subnets: []Subnet{testSubnet("aaaaaaaa", "172.26.0.0/20"), testSubnet("bbbbbbbb", "172.26.16.0/20")},
		Groups:  []Group{groupOpen, groupMute},
		Ports: []Port{
			testPort("00000001", "aaaaaaaa", "172.26.0.5", "open"),
			testPort("00000002", "aaaaaaaa", "172.26.0.6", "mute"),
			testPort("00000003", "bbbbbbbb", "172.26.16.5", "open"),
		},
	}
}

func TestKernelSecurityGroups(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.19.0.2")
	ctx := context.Background()
	must(t, plane.Apply(ctx, r))
	one, two, three := plane.newVM(t, r, "00000001"), plane.newVM(t, r, "00000002"), plane.newVM(t, r, "00000003")
	for _, v := range []vm{one, two, three} {
		v.serve(80)
		v.serve(90)
	}
	alive := expectOpen(t, two.path, "172.26.0.5:80", "172.26.0.6") // same subnet
	expectOpen(t, two.path, "172.26.16.5:80", "172.26.0.6")         // other subnet
	expectOpen(t, one.path, "172.26.16.5:80", "172.26.0.5")
	expectBlocked(t, two.path, "172.26.0.5:90")
	expectBlocked(t, one.path, "172.26.0.6:80")
	expectBlocked(t, three.path, "172.26.0.6:80")

	// The rule goes: what is established lives on, nothing new gets in.
	r.Groups = []Group{{ID: "open", Rules: []Rule{{Egress: true}}}, groupMute}
	must(t, plane.Apply(ctx, r))
	expectAlive(t, alive)
	expectBlocked(t, two.path, "172.26.0.5:80")

	// Without the rule for egress nothing gets out.
	r.Groups = []Group{groupOpen, {ID: "mute"}}
	must(t, plane.Apply(ctx, r))
	expectBlocked(t, two.path, "172.26.0.5:80")
	expectOpen(t, three.path, "172.26.0.5:80", "172.26.16.5")
}

func TestKernelPublicIP(t *testing.T) {
	plane, ctx := newPlane(t), context.Background()
	r, other := testRouter("11111111", "198.19.0.2"), testRouter("22222222", "198.19.0.3") // the same CIDRs twice
	r.PublicIPs = []PublicIP{{Address: netip.MustParseAddr("198.19.1.1"), Target: netip.MustParseAddr("172.26.0.5")}}
	must(t, plane.Apply(ctx, r))
	must(t, plane.Apply(ctx, other))
	one, two, three := plane.newVM(t, r, "00000001"), plane.newVM(t, r, "00000002"), plane.newVM(t, r, "00000003")
	foreign := plane.newVM(t, other, "00000001")
	one.serve(80)
	one.serve(90)
	foreign.serve(80)

	expectOpen(t, "", "198.19.1.1:80", "198.19.0.1")
	expectBlocked(t, "", "198.19.1.1:90")
	expectOpen(t, foreign.path, "198.19.1.1:80", "198.19.0.3")
	expectOpen(t, two.path, "198.19.1.1:80", "198.19.0.2")   // hairpin in one subnet
	expectOpen(t, three.path, "198.19.1.1:80", "198.19.0.2") // and across subnets
	expectOpen(t, one.path, "198.19.1.1:80", "198.19.0.2")   // and to itself

	// To the host a VM with a public IP comes from there, one without from its router.
	listener, err := net.Listen("tcp4", "198.19.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go echo(listener)
	expectOpen(t, one.path, listener.Addr().String(), "198.19.1.1")
	expectOpen(t, two.path, listener.Addr().String(), "198.19.0.2")

	// The address moves to the other VPC.
	other.PublicIPs, r.PublicIPs = r.PublicIPs, nil
	must(t, plane.Apply(ctx, r))
	must(t, plane.Apply(ctx, other))
	expectOpen(t, two.path, "198.19.1.1:80", "198.19.0.2")
}

func TestKernelSpoofing(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.19.0.2")
	ctx := context.Background()
	must(t, plane.Apply(ctx, r))
	one, two := plane.newVM(t, r, "00000001"), plane.newVM(t, r, "00000002")
	one.serve(80)
	expectOpen(t, two.path, "172.26.0.5:80", "172.26.0.6")

	// two takes another address: its packets and its ARP are dropped.
	spoofed := netip.MustParsePrefix("172.26.0.77/20")
	handle, ns, err := openNetns(two.path)
	must(t, err)
	defer ns.Close()
	defer handle.Close()
	_, err = ensureAddresses(handle, vmLink, []netip.Prefix{spoofed})
	must(t, err)
	expectBlocked(t, two.path, "172.26.0.5:80")

	// With the guard off it may.
	r.Ports[1].SpoofGuard = false
	r.Ports[1].IP = spoofed.Addr()
	must(t, plane.Apply(ctx, r))
	expectOpen(t, two.path, "172.26.0.5:80", "172.26.0.77")

	// Another MAC address never passes.
	link, err := handle.LinkByName(vmLink)
	must(t, err)
	must(t, handle.LinkSetHardwareAddr(link, net.HardwareAddr{2, 0, 0, 0, 0, 1}))
	expectBlocked(t, two.path, "172.26.0.5:80")
}

// The edge may not reach private addresses, even by a route through the router.
func TestKernelPrivateFromEdge(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.19.0.2")
	must(t, plane.Apply(context.Background(), r))
	other := testRouter("22222222", "198.19.0.3")
	other.Subnets = []Subnet{testSubnet("cccccccc", "10.9.0.0/24")}
	other.Ports = []Port{testPort("00000009", "cccccccc", "10.9.0.5", "open")}
	other.Routes = []Route{{Destination: netip.MustParsePrefix("172.26.0.0/16"), Via: r.EdgeIP}}
	must(t, plane.Apply(context.Background(), other))
	one, intruder := plane.newVM(t, r, "00000001"), plane.newVM(t, other, "00000009")
	one.serve(80)
	expectBlocked(t, intruder.path, "172.26.0.5:80")
}

// Apply and Plug repair what was broken, keep what is right and remove what is not wanted.
func TestKernelConverges(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.19.0.2")
	ctx := context.Background()
	must(t, plane.Apply(ctx, r))
	one, two := plane.newVM(t, r, "00000001"), plane.newVM(t, r, "00000002")
	one.serve(80)
	conn := expectOpen(t, two.path, "172.26.0.5:80", "172.26.0.6")

	restarted := New(plane.cfg) // knows nothing
	must(t, restarted.EnsureEdge(ctx))
	must(t, restarted.Apply(ctx, r))
	must(t, restarted.Plug(ctx, r, "00000001", one.path))
	must(t, restarted.Plug(ctx, r, "00000002", two.path))
	expectAlive(t, conn)

	handle, ns, err := openNetns(plane.NetnsPath(r.ID))
	must(t, err)
	defer ns.Close()
	defer handle.Close()
	must(t, deleteLink(handle, bridgeName("aaaaaaaa")))
	must(t, deleteLink(handle, portName("00000001")))
	must(t, deleteLink(handle, edgeLink))
	must(t, restarted.Apply(ctx, r))
	must(t, restarted.Plug(ctx, r, "00000001", one.path))
	must(t, restarted.Plug(ctx, r, "00000002", two.path))
	expectAlive(t, conn)

	r.Ports = r.Ports[:1]
	must(t, restarted.Apply(ctx, r))
	link, err := findLink(handle, portName("00000002"))
	must(t, err)
	if link != nil {
		t.Error("the link of a port that is gone is still there")
	}
	must(t, restarted.Unplug(ctx, r.ID, "00000001"))
	must(t, restarted.Unplug(ctx, r.ID, "00000001"))
	must(t, restarted.Remove(ctx, r.ID))
	must(t, restarted.Remove(ctx, r.ID))
	if ids, err := restarted.Routers(); err != nil || len(ids) > 0 {
		t.Errorf("routers left: %v, %v", ids, err)
	}
}
