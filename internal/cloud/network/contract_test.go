package network

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/cloud/contracttest"
)

func TestStrangeRequests(t *testing.T) {
	a, f := newAPI(t)
	port := f.port(PortRequest{Name: "port-one", AssociatePublicIP: true})
	rules, err := listRules(t.Context(), f.db, port.SecurityGroupIDs[0])
	must(t, err)
	pool := a.call("GET", "/v0/subnetpools", "", 200)["results"].([]any)[0].(object)["id"].(string)
	route := a.id("POST", "/v1/vpcs/"+port.VPCID+"/route_table/routes", `{"cidr_destination":"10.99.0.0/24","port_id":"`+port.ID+`"}`, 202)
	fill := strings.NewReplacer("{vpc_id}", port.VPCID, "/vpcs/{id}", "/vpcs/"+port.VPCID, "{subnet_id}", port.SubnetID, "{port_id}", port.ID,
		"{public_ip_id}", port.PublicIPID, "{security_group_id}", port.SecurityGroupIDs[0], "{rule_id}", rules[0].ID,
		"{subnetpool_id}", pool, "{route_id}", route)
	a.contract.Battery(t, fill.Replace, a.contract.Sender(t, a.handler, testTenant))
}

// A rule that is not refused is one that nftables takes.
func FuzzRule(f *testing.F) {
	f.Add(`{"direction":"ingress","ethertype":"IPv4","protocol":"tcp","port_range_min":80,"remote_ip_prefix":"10.0.0.0/8","description":null}`)
	f.Add(`{"direction":"egress","ethertype":"IPv6","protocol":"icmpv6","port_range_min":1,"port_range_max":2}`)
	f.Add(`{"direction":"ingress","ethertype":"IPv4","protocol":"006","remote_ip_prefix":"10.1.2.3"}`)
	f.Add(`{"direction":"ingress","ethertype":"IPv4","protocol":"tcp; flush ruleset"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var body ruleBody
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		rule, err := checkRule(body)
		if err != nil {
			return
		}
		if plane := rule.plane(); strings.ContainsFunc(plane.Protocol, func(r rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789", r) }) ||
			plane.HasPorts && (plane.PortMin < 0 || plane.PortMin > 65535 || plane.PortMax > 65535) {
			t.Errorf("accepted %+v", plane)
		}
	})
}

// A range that is not refused has no bits behind its length and is not reserved.
func FuzzCIDR(f *testing.F) {
	for _, text := range []string{"172.26.0.0/20", "10.0.0.1/24", "fd00::/64", "169.254.0.0/16", "::ffff:10.0.0.0/120", "1.2.3.4/033", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cidr, err := parsePrivateCIDR("cidr", text, 8, 30)
		if err == nil && (!cidr.Addr().Is4() || cidr != cidr.Masked() || cidr.Bits() < 8 || cidr.Bits() > 30 || cidr.Overlaps(netip.MustParsePrefix("127.0.0.0/8"))) {
			t.Errorf("accepted %s", cidr)
		}
		if remote, err := parseRemote(text); err == nil && remote != remote.Masked() {
			t.Errorf("accepted %s", remote)
		}
	})
}

func FuzzSubnet(f *testing.F) {
	f.Add(`{"name":"s","cidr_block":"10.20.0.0/24","ip_version":4,"dns_nameservers":["10.20.0.53"]}`, "b")
	f.Add(`{"name":"s","cidr_block":"10.20.0.0/29","ip_version":4}`, "br-se1-c")
	s := &Service{cfg: fakeConfig}
	f.Fuzz(func(t *testing.T, text, zone string) {
		var body subnetBody
		if json.Unmarshal([]byte(text), &body) != nil {
			return
		}
		subnet, err := s.checkSubnet(body, zone)
		if err == nil && (!subnet.CIDR.Contains(subnet.Gateway()) || len(subnet.Zone) != 1 || len(subnet.Nameservers) > 5) {
			t.Errorf("accepted %+v", subnet)
		}
	})
}

func TestPagesAndOrders(t *testing.T) {
	a, f := newAPI(t)
	a.id("POST", "/v0/subnetpools", `{"name":"a","description":"","cidr":"10.20.0.0/16"}`, 201)
	port := f.port(PortRequest{Name: "port-one"})
	f.port(PortRequest{Name: "port-two"})
	routes := "/v1/vpcs/" + port.VPCID + "/route_table/routes"
	for _, cidr := range []string{"10.99.0.0/24", "10.98.0.0/24"} {
		a.id("POST", routes, `{"cidr_destination":"`+cidr+`","description":"`+cidr+`","port_id":"`+port.ID+`"}`, 202)
	}
	for _, list := range []contracttest.List{
		{Target: "/v0/subnetpools?_az_id=a", Items: "results", By: "name"},
		{Target: "/v0/vpcs/" + port.VPCID + "/ports", Items: "ports", Number: "_offset", Size: "_limit"},
		{Target: "/v0/vpcs/" + port.VPCID + "/ports?detailed=false", Items: "ports_simplified", Number: "_offset", Size: "_limit"},
		{Target: routes, Items: "result", Number: "page", Size: "items_per_page", Sort: "sort", By: "description"},
		{Target: routes + "?zone=br-se1-a", Items: "result", Number: "page", Size: "items_per_page", Sort: "sort", By: "cidr_destination"},
	} {
		list.Check(t, a.contract.Sender(t, a.handler, testTenant))
	}
	a.call("GET", "/v0/vpcs/"+port.VPCID+"/ports?detailed=maybe", "", 422)
	a.call("POST", "/v0/security_groups?skip_default_rules=maybe", `{"name":"group"}`, 422)
}
