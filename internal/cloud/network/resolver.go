package network

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/store"
)

// resolver answers DNS queries on the gateway addresses of every VPC: with the
// addresses of its instances, by name, and NXDOMAIN for all else, at once, so
// that nothing in a VM waits for a name that cannot exist. Only with egress it
// asks the host's nameservers for names that are not of the VPC.
type resolver struct {
	service *Service

	mu      sync.Mutex
	servers map[string]map[netip.Addr][]*dns.Server // by VPC and gateway
}

func newResolver(s *Service) *resolver {
	return &resolver{service: s, servers: map[string]map[netip.Addr][]*dns.Server{}}
}

// recordTTL in seconds; an instance's address never changes, but its name may be given to another.
const recordTTL = 5

// serve makes the VPC's gateways the addresses that are listened on.
func (r *resolver) serve(vpcID, netnsPath string, subnets []dataplane.Subnet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have := r.servers[vpcID]
	if have == nil {
		have = map[netip.Addr][]*dns.Server{}
		r.servers[vpcID] = have
	}
	want := map[netip.Addr]bool{}
	for _, subnet := range subnets {
		want[subnet.Gateway] = true
		if have[subnet.Gateway] != nil {
			continue
		}
		servers, err := r.listen(vpcID, netnsPath, subnet.Gateway)
		if err != nil {
			r.service.log.Error("listen for DNS", "vpc", vpcID, "address", subnet.Gateway.String(), "error", err)
			continue
		}
		have[subnet.Gateway] = servers
	}
	for gateway, servers := range have {
		if !want[gateway] {
			shutdown(servers)
			delete(have, gateway)
		}
	}
}

func (r *resolver) listen(vpcID, netnsPath string, gateway netip.Addr) ([]*dns.Server, error) {
	address := netip.AddrPortFrom(gateway, 53).String()
	var packets net.PacketConn
	var listener net.Listener
	err := dataplane.Inside(netnsPath, func() (err error) {
		if packets, err = net.ListenPacket("udp4", address); err != nil {
			return err
		}
		if listener, err = net.Listen("tcp4", address); err != nil {
			packets.Close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, query *dns.Msg) {
		answer := r.answer(vpcID, query)
		if w.LocalAddr().Network() == "udp" {
			answer.Truncate(udpSize(query))
		}
		_ = w.WriteMsg(answer) // the client may be gone
	})
	servers := []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler}}
	for _, server := range servers {
		go func() { _ = server.ActivateAndServe() }() // ends when its socket is closed
	}
	return servers, nil
}

// udpSize is how large an answer the client can take.
func udpSize(query *dns.Msg) int {
	if options := query.IsEdns0(); options != nil {
		return int(max(options.UDPSize(), dns.MinMsgSize))
	}
	return dns.MinMsgSize
}

func (r *resolver) answer(vpcID string, query *dns.Msg) *dns.Msg {
	reply := new(dns.Msg)
	reply.SetReply(query)
	reply.RecursionAvailable = true
	if len(query.Question) != 1 || query.Opcode != dns.OpcodeQuery {
		return reply.SetRcode(query, dns.RcodeNotImplemented)
	}
	question := query.Question[0]
	name := strings.ToLower(strings.TrimSuffix(question.Name, "."))
	addresses, err := r.service.instanceAddresses(context.Background(), vpcID, name)
	switch {
	case err != nil:
		return reply.SetRcode(query, dns.RcodeServerFailure)
	case len(addresses) == 0 && r.service.cfg.Egress && strings.Contains(name, "."):
		return forward(query)
	case len(addresses) == 0:
		return reply.SetRcode(query, dns.RcodeNameError)
	case question.Qtype != dns.TypeA && question.Qtype != dns.TypeANY:
		return reply // the name exists, without such records
	}
	for _, a := range addresses {
		header := dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: recordTTL}
		reply.Answer = append(reply.Answer, &dns.A{Hdr: header, A: a.AsSlice()})
	}
	return reply
}

// resolvConf names the host's nameservers.
const resolvConf = "/etc/resolv.conf"

// forward asks the host's nameservers, one after the other.
func forward(query *dns.Msg) *dns.Msg {
	if config, err := dns.ClientConfigFromFile(resolvConf); err == nil {
		for _, server := range config.Servers {
			for _, protocol := range []string{"udp", "tcp"} { // the latter when the answer was cut
				client := dns.Client{Net: protocol, Timeout: 2 * time.Second}
				answer, _, err := client.Exchange(query, net.JoinHostPort(server, config.Port))
				if err != nil {
					break
				}
				if !answer.Truncated {
					return answer
				}
			}
		}
	}
	return new(dns.Msg).SetRcode(query, dns.RcodeServerFailure)
}

// instanceAddresses returns the private addresses of the instances with a name in a VPC.
func (s *Service) instanceAddresses(ctx context.Context, vpcID, name string) ([]netip.Addr, error) {
	return store.Rows(ctx, s.db, func(row store.Scanner) (a netip.Addr, err error) {
		err = row.Scan(addr{&a})
		return a, err
	}, `SELECT address FROM network_ports WHERE vpc_id = ? AND lower(name) = ? AND kind <> 'vip' AND device_id <> '' ORDER BY address`, vpcID, name)
}

func (r *resolver) drop(vpcID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, servers := range r.servers[vpcID] {
		shutdown(servers)
	}
	delete(r.servers, vpcID)
}

func (r *resolver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for vpcID, byGateway := range r.servers {
		for _, servers := range byGateway {
			shutdown(servers)
		}
		delete(r.servers, vpcID)
	}
}

func shutdown(servers []*dns.Server) {
	for _, server := range servers {
		if server.Listener != nil {
			server.Listener.Close()
		}
		if server.PacketConn != nil {
			server.PacketConn.Close()
		}
		_ = server.Shutdown() // an error tells that it had not started yet; its socket is closed
	}
}
