package network

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/network/dataplane"
)

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for: %s", what)
		}
	}
}

func status(err error) int {
	var e *httpapi.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

func (f *fakeService) defaultVPC() VPC {
	f.t.Helper()
	vpc, err := f.ResolveVPC(context.Background(), f.db, testTenant, "", "")
	must(f.t, err)
	return vpc
}

func (f *fakeService) port(request PortRequest) Port {
	f.t.Helper()
	request.TenantID = testTenant
	if request.VPCID == "" {
		request.VPCID = f.defaultVPC().ID
	}
	port, err := f.CreatePort(context.Background(), nil, request)
	must(f.t, err)
	return port
}

func TestDesiredRouter(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	group, err := f.CreateGroup(ctx, SecurityGroup{TenantID: testTenant, Name: "web-servers"}, false)
	must(t, err)
	low, high := 80, 81
	_, err = f.CreateRule(ctx, testTenant, Rule{GroupID: group.ID, Direction: Ingress, EtherType: IPv4, Protocol: "tcp", PortMin: &low, PortMax: &high, RemotePrefix: "10.0.0.0/8"})
	must(t, err)
	_, err = f.CreateRule(ctx, testTenant, Rule{GroupID: group.ID, Direction: Ingress, EtherType: IPv6, Protocol: "tcp"})
	must(t, err)
	port := f.port(PortRequest{Name: "web", Zone: "br-se1-b", SecurityGroupIDs: []string{group.ID}, AssociatePublicIP: true, DeviceID: "i-1"})
	equal(t, "address", port.IP, netip.MustParseAddr("172.26.16.2"))
	equal(t, "zone", port.Zone, "br-se1-b")
	var vip netip.Addr
	must(t, f.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		if vip, err = f.AllocateVIP(ctx, tx, testTenant, port.VPCID, "lb-1"); err != nil {
			return err
		}
		_, err = f.AcquirePublicIP(ctx, tx, testTenant, port.VPCID, "", "lb-1")
		return err
	}))
	must(t, f.Converge(ctx, port.VPCID))

	vpc := f.defaultVPC()
	r, _ := f.plane.router(vpc.ID)
	equal(t, "subnets", len(r.Subnets), 3)
	equal(t, "ports", r.Ports, []dataplane.Port{{ID: short(port.ID), SubnetID: short(port.SubnetID), MAC: dataplane.MACFor(port.IP),
		IP: port.IP, SpoofGuard: true, Groups: []string{short(group.ID)}}})
	equal(t, "groups", r.Groups[0].Rules[1], dataplane.Rule{Protocol: "tcp", HasPorts: true, PortMin: 80, PortMax: 81, Remote: netip.MustParsePrefix("10.0.0.0/8")})
	equal(t, "IPv4 rules", len(r.Groups[0].Rules), 2)
	equal(t, "VIPs", r.VIPs, []dataplane.VIP{{Address: vip, SubnetID: r.Subnets[0].ID}})
	equal(t, "public IPs", r.PublicIPs, []dataplane.PublicIP{{Address: port.PublicIP, Target: port.IP}, {Address: r.PublicIPs[1].Address}})

	// VIPs are no ports: nobody sees or deletes them.
	ports, err := portsWhere(ctx, f.db, `p.tenant_id = ?`, testTenant)
	must(t, err)
	equal(t, "visible ports", len(ports), 1)
	must(t, f.DeletePort(ctx, port.ID))
	r, _ = f.plane.router(vpc.ID)
	equal(t, "ports after the deletion", len(r.Ports), 0)
	equal(t, "public IPs after the deletion", len(r.PublicIPs), 1)
	must(t, f.db.Tx(ctx, func(tx *sql.Tx) error { return f.ReleaseOwner(ctx, tx, "lb-1", true) }))
	must(t, f.Converge(ctx, vpc.ID))
	r, _ = f.plane.router(vpc.ID)
	equal(t, "VIPs after the release", len(r.VIPs)+len(r.PublicIPs), 0)
}

// The kernel does not hear of ports that are never plugged, however many come and go; their addresses are taken all the same.
func TestUnwiredPorts(t *testing.T) {
	f := newFakeService(t)
	wired := f.port(PortRequest{Name: "wired"})
	vpc := f.defaultVPC()
	r, _ := f.plane.router(vpc.ID)
	before := f.plane.passes()
	var ports []Port
	for range 3 {
		must(t, f.db.Tx(t.Context(), func(tx *sql.Tx) error {
			port, err := f.CreatePort(t.Context(), tx, PortRequest{TenantID: testTenant, VPCID: vpc.ID, DeviceID: "hollow", Unwired: true})
			ports = append(ports, port)
			return err
		}))
	}
	if ports[0].Wired || ports[0].IP == wired.IP || ports[0].IP == ports[1].IP {
		t.Errorf("ports %+v", ports)
	}
	found, err := f.PortByAddress(t.Context(), vpc.ID, ports[0].IP)
	must(t, err)
	equal(t, "port by address", found.ID, ports[0].ID)
	for _, port := range ports {
		must(t, f.DeletePort(t.Context(), port.ID))
		must(t, f.DeletePort(t.Context(), port.ID))
	}
	if passes := f.plane.passes() - before; passes >= len(ports) { // the service has passes of its own when it starts
		t.Errorf("%d passes over the kernel, want none", passes)
	}
	must(t, f.Converge(t.Context(), vpc.ID))
	now, _ := f.plane.router(vpc.ID)
	equal(t, "ports in the kernel", now.Ports, r.Ports)
}

func TestDefaultGroup(t *testing.T) {
	f := newFakeService(t)
	first, second := f.port(PortRequest{Name: "one"}), f.port(PortRequest{Name: "two", NoSecurityGroup: true})
	vpc := f.defaultVPC()
	r, _ := f.plane.router(vpc.ID)
	equal(t, "groups of a port without any", len(second.SecurityGroupIDs), 0)
	id := short(first.SecurityGroupIDs[0])
	equal(t, "rules of the default group", r.Groups, []dataplane.Group{{ID: id, Rules: []dataplane.Rule{{Egress: true, PortMax: -1}, {RemoteGroup: id, PortMax: -1}}}})
}

func TestConflicts(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	group, err := f.CreateGroup(ctx, SecurityGroup{TenantID: testTenant, Name: "group"}, true)
	must(t, err)
	port := f.port(PortRequest{Name: "one", SecurityGroupIDs: []string{group.ID}, AssociatePublicIP: true, DeviceID: "i-1"})
	vpc := f.defaultVPC()
	own, err := f.CreateVPC(ctx, VPC{TenantID: testTenant, Name: "own"})
	must(t, err)
	subnet, err := f.CreateSubnet(ctx, testTenant, Subnet{VPCID: own.ID, Name: "s", Zone: "a", CIDR: netip.MustParsePrefix("172.26.0.0/20")})
	must(t, err) // the same range as in the default VPC
	inOwn := f.port(PortRequest{VPCID: own.ID, Name: "two"})
	ip, err := f.CreatePublicIP(ctx, PublicIP{TenantID: testTenant, VPCID: own.ID})
	must(t, err)

	for what, tc := range map[string]struct {
		err  error
		want int
	}{
		"delete the default VPC":        {f.DeleteVPC(ctx, testTenant, vpc.ID), 409},
		"delete a VPC in use":           {f.DeleteVPC(ctx, testTenant, own.ID), 409},
		"delete another tenant's VPC":   {f.DeleteVPC(ctx, otherTenant, own.ID), 404},
		"rename to a taken name":        {f.RenameVPC(ctx, testTenant, own.ID, vpc.Name), 409},
		"delete a subnet in use":        {f.DeleteSubnet(ctx, testTenant, subnet.ID), 409},
		"delete a group in use":         {f.DeleteGroup(ctx, testTenant, group.ID), 409},
		"delete a default group":        {f.DeleteGroup(ctx, testTenant, inOwn.SecurityGroupIDs[0]), 409},
		"delete a public IP in use":     {f.DeletePublicIP(ctx, testTenant, port.PublicIPID), 409},
		"attach across VPCs":            {f.AttachPublicIP(ctx, testTenant, ip.ID, port.ID), 409}, // the port has one
		"attach an attached one":        {f.AttachPublicIP(ctx, testTenant, port.PublicIPID, inOwn.ID), 409},
		"attach another tenant's":       {f.AttachPublicIP(ctx, otherTenant, ip.ID, inOwn.ID), 404},
		"default group of another VPC":  {f.AttachGroup(ctx, testTenant, port.ID, inOwn.SecurityGroupIDs[0]), 422},
		"claim another instance's port": {f.SetPortDevice(ctx, nil, port.ID, "i-2"), 409},
		"a port in an unknown VPC":      {second(f.CreatePort(ctx, nil, PortRequest{TenantID: otherTenant, VPCID: own.ID, Name: "x"})), 404},
		"a taken address":               {second(f.CreatePort(ctx, nil, PortRequest{TenantID: testTenant, VPCID: own.ID, SubnetID: subnet.ID, IP: inOwn.IP})), 409},
		"the gateway's address":         {second(f.CreatePort(ctx, nil, PortRequest{TenantID: testTenant, VPCID: own.ID, SubnetID: subnet.ID, IP: subnet.Gateway()})), 409},
		"an address elsewhere":          {second(f.CreatePort(ctx, nil, PortRequest{TenantID: testTenant, VPCID: own.ID, SubnetID: subnet.ID, IP: netip.MustParseAddr("10.0.0.9")})), 422},
		"an overlapping subnet":         {second(f.CreateSubnet(ctx, testTenant, Subnet{VPCID: own.ID, Name: "t", Zone: "a", CIDR: netip.MustParsePrefix("172.26.8.0/24")})), 409},
		"a subnet in the public pool":   {second(f.CreateSubnet(ctx, testTenant, Subnet{VPCID: own.ID, Name: "t", Zone: "a", CIDR: fakeConfig.PublicPool})), 422},
		"a VPC with a taken name":       {second(f.CreateVPC(ctx, VPC{TenantID: testTenant, Name: "own"})), 409},
		"a group with a taken name":     {second(f.CreateGroup(ctx, SecurityGroup{TenantID: testTenant, Name: "group"}, true)), 409},
	} {
		if got := status(tc.err); got != tc.want {
			t.Errorf("%s: %v, want status %d", what, tc.err, tc.want)
		}
	}
	must(t, f.SetPortDevice(ctx, nil, port.ID, "i-1")) // again
	must(t, f.DeletePort(ctx, inOwn.ID))
	must(t, f.DeletePort(ctx, inOwn.ID))
	must(t, f.DeletePublicIP(ctx, testTenant, ip.ID))
	must(t, f.DeleteSubnet(ctx, testTenant, subnet.ID))
	must(t, f.DeleteVPC(ctx, testTenant, own.ID))
	if _, there := f.plane.router(own.ID); there {
		t.Error("the router of a deleted VPC is still there")
	}
	must(t, f.ReleasePublicIP(ctx, port.ID, false))
	must(t, f.ReleasePublicIP(ctx, port.ID, true))
	ips, err := publicIPsWhere(ctx, f.db, `tenant_id = ?`, testTenant)
	must(t, err)
	equal(t, "public IPs that stay", len(ips), 1)
}

func second[T any](_ T, err error) error { return err }

func TestExhaustion(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	vpc, err := f.CreateVPC(ctx, VPC{TenantID: testTenant, Name: "small"})
	must(t, err)
	if err := second(f.CreatePort(ctx, nil, PortRequest{TenantID: testTenant, VPCID: vpc.ID})); status(err) != http.StatusUnprocessableEntity {
		t.Errorf("a port in a VPC without subnets: %v", err)
	}
	must(t, second(f.CreateSubnet(ctx, testTenant, Subnet{VPCID: vpc.ID, Name: "s", Zone: "a", CIDR: netip.MustParsePrefix("10.0.0.0/29")})))
	var last Port
	for range 5 { // 8 addresses without network, gateway, broadcast
		last = f.port(PortRequest{VPCID: vpc.ID})
	}
	if err := second(f.CreatePort(ctx, nil, PortRequest{TenantID: testTenant, VPCID: vpc.ID})); status(err) != http.StatusConflict {
		t.Errorf("a port in a full subnet: %v", err)
	}
	must(t, f.DeletePort(ctx, last.ID))
	equal(t, "the address that was given back", f.port(PortRequest{VPCID: vpc.ID}).IP, last.IP)

	for err == nil {
		_, err = f.CreatePublicIP(ctx, PublicIP{TenantID: testTenant, VPCID: vpc.ID})
	}
	if status(err) != http.StatusConflict {
		t.Errorf("a public IP of an empty pool: %v", err)
	}
	if err := second(f.CreatePort(ctx, nil, PortRequest{TenantID: testTenant, VPCID: f.defaultVPC().ID, AssociatePublicIP: true})); status(err) != http.StatusConflict {
		t.Errorf("a port with a public IP of an empty pool: %v", err)
	}
	ports, err := portsWhere(ctx, f.db, `p.vpc_id = ?`, f.defaultVPC().ID)
	must(t, err)
	equal(t, "ports left by the failed creation", len(ports), 0)
}

// A VPC whose creation was cut off is finished, by this process or the next;
// leftovers without a row go away; callbacks come in pairs.
func TestStateMachine(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	f.plane.setFailure(errors.New("the kernel is on strike"))
	vpc, err := f.CreateVPC(ctx, VPC{TenantID: testTenant, Name: "own"})
	must(t, err)
	statusOf := func() string {
		v, err := tenantVPC(ctx, f.db, testTenant, vpc.ID)
		must(t, err)
		return v.Status
	}
	eventually(t, "several attempts", func() bool { return f.plane.passes() > 2 })
	equal(t, "status without a kernel", statusOf(), StatusPending)
	f.plane.setFailure(nil)
	eventually(t, "created", func() bool { return statusOf() == StatusCreated })

	f.stop()
	must(t, f.plane.Apply(ctx, dataplane.Router{ID: "deadbeef"})) // a leftover
	must(t, f.plane.Remove(ctx, short(vpc.ID)))                   // and a loss
	f.start()
	eventually(t, "lost router back, leftover gone", func() bool {
		_, back := f.plane.router(vpc.ID)
		_, left := f.plane.router("deadbeef")
		return back && !left
	})

	// A deletion that was recorded and then cut off.
	f.plane.setFailure(errors.New("the kernel is on strike"))
	must(t, f.DeleteVPC(ctx, testTenant, vpc.ID))
	f.stop()
	f.plane.setFailure(nil)
	f.start()
	eventually(t, "deleted", func() bool { _, there := f.plane.router(vpc.ID); return !there })
}

func TestCallbacks(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	var mu sync.Mutex
	var events []string
	f.OnVPCReady(func(id string) { mu.Lock(); defer mu.Unlock(); events = append(events, "ready "+id) })
	f.OnVPCGone(func(id string) { mu.Lock(); defer mu.Unlock(); events = append(events, "gone "+id) })
	vpc, err := f.CreateVPC(ctx, VPC{TenantID: testTenant, Name: "own"})
	must(t, err)
	must(t, f.Converge(ctx, vpc.ID))
	must(t, f.Converge(ctx, vpc.ID))
	must(t, f.DeleteVPC(ctx, testTenant, vpc.ID))
	mu.Lock()
	defer mu.Unlock()
	// The tenant's default VPC comes up beside it, whenever that is.
	own := slices.DeleteFunc(events, func(e string) bool { return !strings.HasSuffix(e, vpc.ID) })
	equal(t, "events", own, []string{"ready " + vpc.ID, "gone " + vpc.ID})
}

func TestPlugPort(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	var port Port
	must(t, f.db.Tx(ctx, func(tx *sql.Tx) error { // as compute does: nothing was applied before
		vpc, err := f.ResolveVPC(ctx, tx, testTenant, "", "")
		if err != nil {
			return err
		}
		port, err = f.CreatePort(ctx, tx, PortRequest{TenantID: testTenant, VPCID: vpc.ID, Name: "vm", DeviceID: "i-1"})
		return err
	}))
	must(t, f.PlugPort(ctx, port.ID, "/run/netns/vm"))
	must(t, f.PlugPort(ctx, port.ID, "/run/netns/vm"))
	equal(t, "plugged", f.plane.plugged[short(port.ID)], "/run/netns/vm")
	found, err := f.PortByAddress(ctx, port.VPCID, port.IP)
	must(t, err)
	equal(t, "port by address", found.ID, port.ID)
	must(t, f.UnplugPort(ctx, port.ID))
	must(t, f.DeletePort(ctx, port.ID))
	must(t, f.UnplugPort(ctx, port.ID))
	if err := f.PlugPort(ctx, port.ID, "/run/netns/vm"); status(err) != http.StatusNotFound {
		t.Errorf("plugging a deleted port: %v", err)
	}
}

// Many at once: no address twice, and the waiting calls share passes.
func TestConcurrentPorts(t *testing.T) {
	f, ctx := newFakeService(t), context.Background()
	vpc := f.defaultVPC()
	const n = 40
	var wg sync.WaitGroup
	addresses := make(chan netip.Addr, n)
	for range n {
		wg.Go(func() {
			port, err := f.CreatePort(ctx, nil, PortRequest{TenantID: testTenant, VPCID: vpc.ID, Zone: "a"})
			if err != nil {
				t.Error(err)
				return
			}
			if err := f.PlugPort(ctx, port.ID, "/run/netns/vm"); err != nil {
				t.Error(err)
			}
			addresses <- port.IP
		})
	}
	wg.Wait()
	close(addresses)
	seen := map[netip.Addr]bool{}
	for a := range addresses {
		seen[a] = true
	}
	equal(t, "different addresses", len(seen), n)
}
