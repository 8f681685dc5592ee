package dataplane

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Ruleset renders the nftables script of a router. Equal routers give equal
// text. It replaces our tables in one transaction, so that no packet ever meets
// half of it; connection tracking is not touched by that.
//
// The bridge table knows ports (links) and keeps VMs from using addresses that
// are not theirs. Because of it the inet table may know VMs by address; through
// br_netfilter it also sees what stays inside a subnet. Per port there are only
// map elements: the number of ports does not lengthen the path of a packet.
func Ruleset(r Router, edge netip.Prefix) string {
	s := &script{}
	s.line("add table bridge mke")
	s.line("delete table bridge mke")
	s.line("add table inet mke")
	s.line("delete table inet mke")
	ports := slices.Clone(r.Ports)
	slices.SortFunc(ports, func(a, b Port) int { return cmp.Compare(a.ID, b.ID) })
	s.block("table bridge mke", func() { bridgeTable(s, ports) })
	s.block("table inet mke", func() { inetTable(s, r, ports, edge) })
	return s.String()
}

func bridgeTable(s *script, ports []Port) {
	var guarded, macs, addresses []string
	for _, port := range ports {
		name := fmt.Sprintf("%q", portName(port.ID))
		macs = append(macs, name+" . "+port.MAC.String())
		if port.SpoofGuard {
			guarded = append(guarded, name)
			addresses = append(addresses, name+" . "+port.IP.String())
		}
	}
	s.set("guarded", "type ifname", guarded)
	s.set("macs", "type ifname . ether_addr", macs)
	s.set("addresses", "type ifname . ipv4_addr", addresses)
	s.block("chain prerouting", func() {
		s.line("type filter hook prerouting priority -300; policy accept;")
		s.line("iifname %q jump from_vm", portName("*"))
	})
	s.block("chain from_vm", func() {
		s.line("iifname . ether saddr != @macs drop") // a link that is no port (any more) included
		s.line("ether type arp iifname . arp saddr ether != @macs drop")
		s.line("iifname @guarded ether type ip ether daddr & 01:00:00:00:00:00 != 00:00:00:00:00:00 drop")
		s.line("iifname @guarded ether type ip iifname . ip saddr != @addresses drop")
		s.line("iifname @guarded ether type arp iifname . arp saddr ip != @addresses drop")
		s.line("ether type { ip, arp } accept")
		s.line("drop")
	})
	s.block("chain postrouting", func() {
		s.line("type filter hook postrouting priority -300; policy accept;")
		s.line("oifname @guarded ether type ip oifname . ip daddr != @addresses drop")
	})
}

func inetTable(s *script, r Router, ports []Port, edge netip.Prefix) {
	securityMaps(s, r, ports)
	publicMaps(s, r)
	s.block("chain forward", func() {
		s.line("type filter hook forward priority filter; policy accept;")
		s.line("ct state established,related accept")
		s.line("iifname %q ct status & dnat != dnat drop", edgeLink)
		s.line("iifname %q ip saddr %s drop", bridgeName("*"), edge)
		s.line("ip saddr vmap @egress")
		s.line("ip daddr vmap @ingress")
	})
	s.block("chain input", func() {
		s.line("type filter hook input priority filter; policy accept;")
		s.line("ct state established,related accept")
		s.line("iifname %q ip daddr %s tcp dport 80 accept", bridgeName("*"), MetadataAddress)
		s.line("ip daddr %s drop", MetadataAddress)
		s.line("iifname %q meta l4proto { tcp, udp } th dport 53 accept", bridgeName("*"))
		s.line("iifname %q ip daddr != %s drop", edgeLink, edge)
		s.line("ip saddr vmap @egress")
	})
	s.block("chain output", func() {
		s.line("type filter hook output priority filter; policy accept;")
		s.line("ct state established,related accept")
		s.line("ip daddr vmap @ingress")
	})
	natChains(s, r, edge)
}

// securityMaps leads from the address of a port to the chains of its set of
// groups. Ports with the same set share the chains.
func securityMaps(s *script, r Router, ports []Port) {
	rules, members := map[string][]Rule{}, map[string][]string{}
	for _, group := range r.Groups {
		rules[group.ID] = group.Rules
	}
	var ingress, egress, done []string
	for _, port := range ports {
		key := groupsKey(port.Groups)
		ingress = append(ingress, port.IP.String()+" : jump in_"+key)
		egress = append(egress, port.IP.String()+" : jump out_"+key)
		for _, id := range port.Groups {
			members[id] = append(members[id], port.IP.String())
		}
	}
	for _, group := range sortedGroups(r.Groups) {
		s.set("members_"+group.ID, "type ipv4_addr", members[group.ID])
	}
	for _, port := range ports {
		key := groupsKey(port.Groups)
		if slices.Contains(done, key) {
			continue
		}
		done = append(done, key)
		var all []Rule
		for _, id := range slices.Sorted(slices.Values(port.Groups)) {
			all = append(all, rules[id]...)
		}
		groupChain(s, "in_"+key, all, false)
		groupChain(s, "out_"+key, all, true)
	}
	s.set("ingress", "type ipv4_addr : verdict", ingress)
	s.set("egress", "type ipv4_addr : verdict", egress)
}

// groupChain returns to its caller what is allowed and drops the rest.
func groupChain(s *script, name string, rules []Rule, egress bool) {
	s.block("chain "+name, func() {
		var lines []string
		for _, rule := range rules {
			if rule.Egress == egress {
				lines = append(lines, ruleMatch(rule)+"return")
			}
		}
		slices.Sort(lines)
		for _, line := range slices.Compact(lines) {
			s.line("%s", line)
		}
		s.line("drop")
	})
}

func ruleMatch(rule Rule) string {
	side := "saddr"
	if rule.Egress {
		side = "daddr"
	}
	match := ""
	if rule.RemoteGroup != "" {
		match += fmt.Sprintf("ip %s @members_%s ", side, rule.RemoteGroup)
	}
	if rule.Remote.IsValid() && rule.Remote.Bits() > 0 {
		match += fmt.Sprintf("ip %s %s ", side, rule.Remote.Masked())
	}
	switch {
	case rule.Protocol == "":
	case !rule.HasPorts:
		match += "meta l4proto " + rule.Protocol + " "
	case rule.Protocol == "icmp":
		match += fmt.Sprintf("icmp type %d ", rule.PortMin)
		if rule.PortMax >= 0 {
			match += fmt.Sprintf("icmp code %d ", rule.PortMax)
		}
	case rule.PortMin == rule.PortMax:
		match += fmt.Sprintf("%s dport %d ", rule.Protocol, rule.PortMin)
	default:
		match += fmt.Sprintf("%s dport %d-%d ", rule.Protocol, rule.PortMin, rule.PortMax)
	}
	return match
}

func publicMaps(s *script, r Router) {
	var private, public []string
	for _, ip := range r.PublicIPs {
		if ip.Target.IsValid() {
			private = append(private, ip.Address.String()+" : "+ip.Target.String())
			public = append(public, ip.Target.String()+" : "+ip.Address.String())
		}
	}
	slices.Sort(private)
	slices.Sort(public)
	s.set("private", "type ipv4_addr : ipv4_addr", private)
	s.set("public", "type ipv4_addr : ipv4_addr", public)
	var inside []string
	for _, subnet := range r.Subnets {
		inside = append(inside, subnet.Prefix.Masked().String())
	}
	slices.Sort(inside)
	s.set("inside", "type ipv4_addr; flags interval", inside)
}

func natChains(s *script, r Router, edge netip.Prefix) {
	for _, hook := range []string{"prerouting", "output"} {
		s.block("chain nat_"+hook, func() {
			s.line("type nat hook %s priority -100; policy accept;", hook)
			s.line("dnat ip to ip daddr map @private")
		})
	}
	s.block("chain nat_postrouting", func() {
		s.line("type nat hook postrouting priority srcnat; policy accept;")
		// A VM that calls a public IP of its own VPC must get the answers from there.
		s.line("oifname %q ct status & dnat == dnat ip saddr @inside snat ip to %s", bridgeName("*"), r.EdgeIP)
		s.line("oifname %q snat ip to ip saddr map @public", edgeLink)
		s.line("oifname %q ip saddr != %s snat ip to %s", edgeLink, edge, r.EdgeIP)
	})
}

func sortedGroups(groups []Group) []Group {
	return slices.SortedFunc(slices.Values(groups), func(a, b Group) int { return cmp.Compare(a.ID, b.ID) })
}

// groupsKey names a set of groups within the length that nftables allows.
func groupsKey(ids []string) string {
	switch len(ids) {
	case 0:
		return "none"
	case 1:
		return ids[0]
	}
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(ids)), ",")))
	return hex.EncodeToString(sum[:8])
}
