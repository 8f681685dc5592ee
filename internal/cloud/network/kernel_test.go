package network_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/network/nettest"
	"magalu.cloud/mke/internal/cloud/store"
)

const tenant = "7f3e4bb0-0000-4000-8000-000000000001"

var kernelConfig = network.Config{Region: "br-se1", Prefix: "mke2",
	PublicPool: netip.MustParsePrefix("198.51.100.128/25"), EdgeAddress: netip.MustParseAddr("198.51.100.129")}

func TestMain(m *testing.M) {
	nettest.WarnUnlessRoot("networks were")
	os.Exit(contracttest.Run(m, "network"))
}

// daemon is the product on the kernel; it can be stopped and started again.
type daemon struct {
	*network.Service
	t    *testing.T
	file string
	stop func()
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	nettest.Lock(t, kernelConfig.Prefix)
	clean := func() { nettest.Must(t, network.Teardown(context.Background(), kernelConfig)) }
	clean()
	t.Cleanup(clean)
	d := &daemon{t: t, file: filepath.Join(t.TempDir(), "cloud.db")}
	d.start()
	t.Cleanup(func() { d.stop() })
	return d
}

func (d *daemon) start() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	db, err := store.Open(ctx, d.file)
	nettest.Must(d.t, err)
	d.Service, err = network.New(db, kernelConfig)
	nettest.Must(d.t, err)
	var running sync.WaitGroup
	service := d.Service
	running.Go(func() {
		if err := service.Run(ctx); err != nil {
			d.t.Errorf("run: %v", err)
		}
	})
	d.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		db.Close()
	})
}

func (d *daemon) vm(name string, request network.PortRequest) (network.Port, string) {
	d.t.Helper()
	ctx := context.Background()
	request.TenantID, request.Name, request.DeviceID = tenant, name, name
	if request.VPCID == "" {
		subnets, err := d.DefaultSubnets(ctx, tenant)
		nettest.Must(d.t, err)
		request.VPCID = subnets[0].VPCID
	}
	port, err := d.CreatePort(ctx, nil, request)
	nettest.Must(d.t, err)
	path := nettest.Netns(d.t, kernelConfig.Prefix+"-vm-"+name)
	nettest.Must(d.t, d.PlugPort(ctx, port.ID, path))
	return port, path
}

// resolve asks the VM's gateway.
func resolve(t *testing.T, netns string, gateway netip.Addr, protocol, name string) *dns.Msg {
	t.Helper()
	query := new(dns.Msg)
	query.SetQuestion(dns.Fqdn(name), dns.TypeA)
	var conn net.Conn
	nettest.Must(t, dataplane.Inside(netns, func() (err error) {
		conn, err = net.Dial(protocol, netip.AddrPortFrom(gateway, 53).String())
		return err
	}))
	defer conn.Close()
	client := dns.Client{Net: protocol, Timeout: 5 * time.Second}
	answer, took, err := client.ExchangeWithConn(query, &dns.Conn{Conn: conn})
	nettest.Must(t, err)
	if took > time.Second {
		t.Errorf("the answer for %s by %s took %s", name, protocol, took)
	}
	return answer
}

func TestKernelDaemonRestart(t *testing.T) {
	forwarding, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	nettest.Must(t, err)
	d, ctx := newDaemon(t), context.Background()
	one, netnsOne := d.vm("one", network.PortRequest{Zone: "a", AssociatePublicIP: true})
	_, netnsTwo := d.vm("two", network.PortRequest{Zone: "b"})
	nettest.Serve(t, netnsOne, ":80", "one")
	address := one.IP.String() + ":80"
	conn := nettest.Open(t, netnsTwo, address, "") // the default group: its members reach each other
	nettest.Blocked(t, "", one.PublicIP.String()+":80")
	rule, err := d.CreateRule(ctx, tenant, network.Rule{GroupID: one.SecurityGroupIDs[0], Direction: network.Ingress, EtherType: network.IPv4,
		Protocol: "tcp", RemotePrefix: kernelConfig.EdgeAddress.String() + "/32"})
	nettest.Must(t, err)
	nettest.Open(t, "", one.PublicIP.String()+":80", kernelConfig.EdgeAddress.String())

	d.stop()
	nettest.Open(t, netnsTwo, address, "") // without the daemon too
	d.start()
	nettest.Must(t, d.PlugPort(ctx, one.ID, netnsOne))
	nettest.Alive(t, conn)
	nettest.Open(t, "", one.PublicIP.String()+":80", "")
	nettest.Must(t, d.DeleteRule(ctx, tenant, rule.ID))
	nettest.Blocked(t, "", one.PublicIP.String()+":80")

	nettest.Must(t, d.DeletePort(ctx, one.ID))
	nettest.Blocked(t, netnsTwo, address)
	if after, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); string(after) != string(forwarding) {
		t.Errorf("the host's ip_forward was %s, is %s", forwarding, after)
	}
}

// A namespace that somebody removed comes back with everything in it.
func TestKernelRepair(t *testing.T) {
	d, ctx := newDaemon(t), context.Background()
	one, netnsOne := d.vm("one", network.PortRequest{})
	_, netnsTwo := d.vm("two", network.PortRequest{})
	nettest.Serve(t, netnsOne, ":80", "one")
	path, err := d.VPCNetns(one.VPCID)
	nettest.Must(t, err)
	d.stop()
	nettest.Must(t, dataplane.DeleteNetns(filepath.Base(path)))
	nettest.Netns(t, kernelConfig.Prefix+"-vpc-deadbeef") // a leftover
	d.start()
	for name, netns := range map[string]string{"one": netnsOne, "two": netnsTwo} {
		port, err := d.PortByAddress(ctx, one.VPCID, map[string]netip.Addr{"one": one.IP, "two": one.IP.Next()}[name])
		nettest.Must(t, err)
		nettest.Must(t, d.PlugPort(ctx, port.ID, netns))
	}
	nettest.Open(t, netnsTwo, one.IP.String()+":80", "")
	nettest.Eventually(t, "the leftover is gone", func() bool {
		_, err := os.Stat("/run/netns/" + kernelConfig.Prefix + "-vpc-deadbeef")
		return os.IsNotExist(err)
	})
}

func TestKernelResolver(t *testing.T) {
	d := newDaemon(t)
	one, netns := d.vm("one", network.PortRequest{Zone: "a"})
	two, _ := d.vm("Two", network.PortRequest{Zone: "c"})
	for _, protocol := range []string{"udp", "tcp"} {
		answer := resolve(t, netns, one.Gateway, protocol, "tWo")
		if len(answer.Answer) != 1 || answer.Answer[0].(*dns.A).A.String() != two.IP.String() {
			t.Errorf("%s: two is %v, want %s", protocol, answer.Answer, two.IP)
		}
		for _, name := range []string{"three", "magalu.cloud", "two.example"} {
			if answer := resolve(t, netns, one.Gateway, protocol, name); answer.Rcode != dns.RcodeNameError {
				t.Errorf("%s: %s: %s, want NXDOMAIN", protocol, name, dns.RcodeToString[answer.Rcode])
			}
		}
	}
	// A VM in another VPC does not know the names of this one.
	vpc, err := d.CreateVPC(t.Context(), network.VPC{TenantID: tenant, Name: "other"})
	nettest.Must(t, err)
	_, err = d.CreateSubnet(t.Context(), tenant, network.Subnet{VPCID: vpc.ID, Name: "same", Zone: "a", CIDR: netip.MustParsePrefix("172.26.0.0/20")})
	nettest.Must(t, err)
	foreign, foreignNetns := d.vm("foreign", network.PortRequest{VPCID: vpc.ID})
	if answer := resolve(t, foreignNetns, foreign.Gateway, "udp", "two"); answer.Rcode != dns.RcodeNameError {
		t.Errorf("two in another VPC: %v", answer)
	}
}

// Without egress there is no way to the world, and a VM learns that at once.
func TestKernelNoEgress(t *testing.T) {
	d := newDaemon(t)
	_, netns := d.vm("one", network.PortRequest{AssociatePublicIP: true})
	start := time.Now()
	_, _, _, err := nettest.Dial(netns, "203.0.113.77:80", 10*time.Second)
	if err == nil || !strings.Contains(err.Error(), "unreachable") || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %s, want unreachable at once", err, time.Since(start))
	}
}
