package dataplane_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/network/nettest"
)

func testSubnet(id, prefix string) dataplane.Subnet {
	p := netip.MustParsePrefix(prefix)
	return dataplane.Subnet{ID: id, Prefix: p, Gateway: p.Addr().Next()}
}

func testPort(id, subnet, ip string, groups ...string) dataplane.Port {
	addr := netip.MustParseAddr(ip)
	return dataplane.Port{ID: id, SubnetID: subnet, MAC: dataplane.MACFor(addr), IP: addr, SpoofGuard: true, Groups: groups}
}

var (
	groupOpen = dataplane.Group{ID: "open", Rules: []dataplane.Rule{{Egress: true}, {Protocol: "tcp", HasPorts: true, PortMin: 80, PortMax: 81}}}
	groupMute = dataplane.Group{ID: "mute", Rules: []dataplane.Rule{{Egress: true}}}
)

// testRouter has two VMs in subnet a and one in subnet b; only ports of the group open accept.
func testRouter(id string, edgeIP string) dataplane.Router {
	return dataplane.Router{
		ID: id, EdgeIP: netip.MustParseAddr(edgeIP),
		Subnets: []dataplane.Subnet{testSubnet("aaaaaaaa", "172.26.0.0/20"), testSubnet("bbbbbbbb", "172.26.16.0/20")},
		Groups:  []dataplane.Group{groupOpen, groupMute},
		Ports: []dataplane.Port{
			testPort("00000001", "aaaaaaaa", "172.26.0.5", "open"),
			testPort("00000002", "aaaaaaaa", "172.26.0.6", "mute"),
			testPort("00000003", "bbbbbbbb", "172.26.16.5", "open"),
		},
	}
}

func TestKernelSecurityGroups(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.51.100.2")
	ctx := context.Background()
	nettest.Must(t, plane.Apply(ctx, r))
	one, two, three := newVM(t, plane, r, "00000001"), newVM(t, plane, r, "00000002"), newVM(t, plane, r, "00000003")
	for _, v := range []vm{one, two, three} {
		v.serve(80)
		v.serve(90)
	}
	alive := nettest.Open(t, two.path, "172.26.0.5:80", "172.26.0.6") // same subnet
	nettest.Open(t, two.path, "172.26.16.5:80", "172.26.0.6")         // other subnet
	nettest.Open(t, one.path, "172.26.16.5:80", "172.26.0.5")
	nettest.Blocked(t, two.path, "172.26.0.5:90")
	nettest.Blocked(t, one.path, "172.26.0.6:80")
	nettest.Blocked(t, three.path, "172.26.0.6:80")

	// The rule goes: what is established lives on, nothing new gets in.
	r.Groups = []dataplane.Group{{ID: "open", Rules: []dataplane.Rule{{Egress: true}}}, groupMute}
	nettest.Must(t, plane.Apply(ctx, r))
	nettest.Alive(t, alive)
	nettest.Blocked(t, two.path, "172.26.0.5:80")

	// Without the rule for egress nothing gets out.
	r.Groups = []dataplane.Group{groupOpen, {ID: "mute"}}
	nettest.Must(t, plane.Apply(ctx, r))
	nettest.Blocked(t, two.path, "172.26.0.5:80")
	nettest.Open(t, three.path, "172.26.0.5:80", "172.26.16.5")
}

func TestKernelPublicIP(t *testing.T) {
	plane, ctx := newPlane(t), context.Background()
	r, other := testRouter("11111111", "198.51.100.2"), testRouter("22222222", "198.51.100.3") // the same CIDRs twice
	r.PublicIPs = []dataplane.PublicIP{{Address: netip.MustParseAddr("198.51.100.101"), Target: netip.MustParseAddr("172.26.0.5")}}
	nettest.Must(t, plane.Apply(ctx, r))
	nettest.Must(t, plane.Apply(ctx, other))
	one, two, three := newVM(t, plane, r, "00000001"), newVM(t, plane, r, "00000002"), newVM(t, plane, r, "00000003")
	foreign := newVM(t, plane, other, "00000001")
	one.serve(80)
	one.serve(90)
	foreign.serve(80)

	front := nettest.Open(t, "", "198.51.100.101:80", "198.51.100.1")
	nettest.Blocked(t, "", "198.51.100.101:90")
	nettest.Open(t, foreign.path, "198.51.100.101:80", "198.51.100.3")
	nettest.Open(t, two.path, "198.51.100.101:80", "198.51.100.2")   // hairpin in one subnet
	nettest.Open(t, three.path, "198.51.100.101:80", "198.51.100.2") // and across subnets
	nettest.Open(t, one.path, "198.51.100.101:80", "198.51.100.2")   // and to itself

	// To the host a VM with a public IP comes from there, one without from its router.
	nettest.Serve(t, "", "198.51.100.1:7001", "host")
	nettest.Open(t, one.path, "198.51.100.1:7001", "198.51.100.101")
	nettest.Open(t, two.path, "198.51.100.1:7001", "198.51.100.2")

	// It is taken away: what went through it ends too. Then it goes to the other VPC.
	other.PublicIPs, r.PublicIPs = r.PublicIPs, nil
	nettest.Must(t, plane.Apply(ctx, r))
	if nettest.Echoes(front, 300*time.Millisecond) {
		t.Error("a connection outlived the public IP through which it went")
	}
	nettest.Must(t, plane.Apply(ctx, other))
	nettest.Open(t, two.path, "198.51.100.101:80", "198.51.100.2")
}

func TestKernelSpoofing(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.51.100.2")
	ctx := context.Background()
	nettest.Must(t, plane.Apply(ctx, r))
	one, two := newVM(t, plane, r, "00000001"), newVM(t, plane, r, "00000002")
	one.serve(80)
	nettest.Open(t, two.path, "172.26.0.5:80", "172.26.0.6")

	// two takes another address: its packets and its ARP are dropped.
	spoofed := netip.MustParsePrefix("172.26.0.77/20")
	handle, ns, err := dataplane.OpenNetns(two.path)
	nettest.Must(t, err)
	defer ns.Close()
	defer handle.Close()
	_, err = dataplane.EnsureAddresses(handle, dataplane.VMLink, []netip.Prefix{spoofed})
	nettest.Must(t, err)
	nettest.Blocked(t, two.path, "172.26.0.5:80")

	// With the guard off it may.
	r.Ports[1].SpoofGuard = false
	r.Ports[1].IP = spoofed.Addr()
	nettest.Must(t, plane.Apply(ctx, r))
	nettest.Open(t, two.path, "172.26.0.5:80", "172.26.0.77")

	// Another MAC address never passes.
	link, err := handle.LinkByName(dataplane.VMLink)
	nettest.Must(t, err)
	nettest.Must(t, handle.LinkSetHardwareAddr(link, net.HardwareAddr{2, 0, 0, 0, 0, 1}))
	nettest.Blocked(t, two.path, "172.26.0.5:80")
}

// A VM with several interfaces answers from the one that was asked, in the same subnet and in others.
func TestKernelFurtherInterfaces(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.51.100.2")
	ctx := context.Background()
	second, third := testPort("00000004", "aaaaaaaa", "172.26.0.7", "open"), testPort("00000005", "bbbbbbbb", "172.26.16.7", "open")
	second.Index, third.Index = 1, 2
	r.Ports = append(r.Ports, second, third)
	nettest.Must(t, plane.Apply(ctx, r))
	many, near, far := newVM(t, plane, r, "00000001"), newVM(t, plane, r, "00000002"), newVM(t, plane, r, "00000003")
	for range 2 { // the second time it is all there
		nettest.Must(t, plane.Plug(ctx, r, second.ID, many.path))
		nettest.Must(t, plane.Plug(ctx, r, third.ID, many.path))
	}
	many.serve(80)
	for _, address := range []string{"172.26.0.5:80", "172.26.0.7:80", "172.26.16.7:80"} {
		nettest.Open(t, near.path, address, "172.26.0.6")
		nettest.Open(t, far.path, address, "172.26.16.5")
	}
	conn := nettest.Open(t, near.path, "172.26.0.7:80", "172.26.0.6")

	// Another port in the place of the second one; the first one notices nothing.
	primary := nettest.Open(t, near.path, "172.26.0.5:80", "")
	nettest.Must(t, plane.Unplug(ctx, r.ID, second.ID))
	if nettest.Echoes(conn, 300*time.Millisecond) {
		t.Error("an interface that was taken out still works")
	}
	nettest.Blocked(t, near.path, "172.26.0.7:80")
	other := testPort("00000006", "bbbbbbbb", "172.26.16.8", "open")
	other.Index = 1
	r.Ports = append(r.Ports, other)
	nettest.Must(t, plane.Apply(ctx, r))
	nettest.Must(t, plane.Plug(ctx, r, other.ID, many.path))
	nettest.Open(t, near.path, "172.26.16.8:80", "172.26.0.6")
	nettest.Alive(t, primary)
}

// The edge may not reach private addresses, even by a route through the router.
func TestKernelPrivateFromEdge(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.51.100.2")
	nettest.Must(t, plane.Apply(context.Background(), r))
	other := testRouter("22222222", "198.51.100.3")
	other.Subnets = []dataplane.Subnet{testSubnet("cccccccc", "10.9.0.0/24")}
	other.Ports = []dataplane.Port{testPort("00000009", "cccccccc", "10.9.0.5", "open")}
	other.Routes = []dataplane.Route{{Destination: netip.MustParsePrefix("172.26.0.0/16"), Via: r.EdgeIP}}
	nettest.Must(t, plane.Apply(context.Background(), other))
	one, intruder := newVM(t, plane, r, "00000001"), newVM(t, plane, other, "00000009")
	one.serve(80)
	nettest.Blocked(t, intruder.path, "172.26.0.5:80")
}

// Apply and Plug repair what was broken, keep what is right and remove what is not wanted.
func TestKernelConverges(t *testing.T) {
	plane, r := newPlane(t), testRouter("11111111", "198.51.100.2")
	ctx := context.Background()
	nettest.Must(t, plane.Apply(ctx, r))
	one, two := newVM(t, plane, r, "00000001"), newVM(t, plane, r, "00000002")
	one.serve(80)
	conn := nettest.Open(t, two.path, "172.26.0.5:80", "172.26.0.6")

	restarted := dataplane.New(testConfig) // knows nothing
	nettest.Must(t, restarted.EnsureEdge(ctx))
	nettest.Must(t, restarted.Apply(ctx, r))
	nettest.Must(t, restarted.Plug(ctx, r, "00000001", one.path))
	nettest.Must(t, restarted.Plug(ctx, r, "00000002", two.path))
	nettest.Alive(t, conn)

	handle, ns, err := dataplane.OpenNetns(plane.NetnsPath(r.ID))
	nettest.Must(t, err)
	defer ns.Close()
	defer handle.Close()
	nettest.Must(t, dataplane.DeleteLink(handle, dataplane.BridgeName("aaaaaaaa")))
	nettest.Must(t, dataplane.DeleteLink(handle, dataplane.PortName("00000001")))
	nettest.Must(t, dataplane.DeleteLink(handle, dataplane.EdgeLink))
	nettest.Must(t, restarted.Apply(ctx, r))
	nettest.Must(t, restarted.Plug(ctx, r, "00000001", one.path))
	nettest.Must(t, restarted.Plug(ctx, r, "00000002", two.path))
	nettest.Alive(t, conn)

	r.Ports = r.Ports[:1]
	nettest.Must(t, restarted.Apply(ctx, r))
	link, err := dataplane.FindLink(handle, dataplane.PortName("00000002"))
	nettest.Must(t, err)
	if link != nil {
		t.Error("the link of a port that is gone is still there")
	}
	nettest.Must(t, restarted.Unplug(ctx, r.ID, "00000001"))
	nettest.Must(t, restarted.Unplug(ctx, r.ID, "00000001"))
	nettest.Must(t, restarted.Remove(ctx, r.ID))
	nettest.Must(t, restarted.Remove(ctx, r.ID))
	if ids, err := restarted.Routers(); err != nil || len(ids) > 0 {
		t.Errorf("routers left: %v, %v", ids, err)
	}
}
