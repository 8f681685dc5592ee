package mgctest

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

type vpc struct {
	object
	mgc.VPC
}

type subnet struct {
	object
	mgc.Subnet
}

type securityGroup struct {
	object
	mgc.SecurityGroup
	rules []mgc.SecurityGroupRule
}

type port struct {
	object
	mgc.Port
}

type publicIP struct {
	object
	mgc.PublicIP
}

// DefaultVPC returns Tenant's default VPC and its subnets, one per zone in the order a, b, c.
func (c *Cloud) DefaultVPC() (mgc.VPC, []mgc.Subnet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.ensureDefaultVPC(Tenant)
	return v.VPC, c.subnetsOf(v.ID)
}

// SecurityGroups returns the security groups of Tenant without the default ones.
func (c *Cloud) SecurityGroups() []mgc.SecurityGroup {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.groupsOf(Tenant, func(g *securityGroup) bool { return !g.IsDefault })
}

// Rules returns the rules of a security group.
func (c *Cloud) Rules(groupID string) []mgc.SecurityGroupRule {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.groups[groupID]; g != nil {
		return slices.Clone(g.rules)
	}
	return nil
}

// PublicIPs returns all public addresses of Tenant.
func (c *Cloud) PublicIPs() []mgc.PublicIP {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.publicIPsOf(Tenant, "")
}

// AddPublicIP makes a public address in Tenant's default VPC, as a left-over of something.
func (c *Cloud) AddPublicIP(description string) mgc.PublicIP {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newPublicIP(Tenant, c.ensureDefaultVPC(Tenant).ID, description).PublicIP
}

func (c *Cloud) ensureDefaultVPC(tenant string) *vpc {
	for _, v := range c.vpcs {
		if v.of(tenant) && v.IsDefault {
			return v
		}
	}
	v := &vpc{object{tenant: tenant}, mgc.VPC{ID: uuid.NewString(), TenantID: tenant, Name: "vpc_default", IsDefault: true, Status: mgc.NetworkCreated}}
	c.vpcs[v.ID] = v
	for n, zone := range []string{"a", "b", "c"} {
		c.newSubnet(v, zone, mgc.SubnetCreate{Name: "subnet_default_" + zone, CIDRBlock: fmt.Sprintf("172.26.%d.0/20", 16*n)})
	}
	return v
}

func (c *Cloud) newSubnet(v *vpc, zone string, in mgc.SubnetCreate) *subnet {
	s := &subnet{object{tenant: v.tenant}, mgc.Subnet{ID: uuid.NewString(), VPCID: v.ID, Name: in.Name, CIDRBlock: in.CIDRBlock, Zone: zone}}
	c.subnets[s.ID] = s
	return s
}

func (c *Cloud) newPort(tenant, name string, sn *subnet, groups []string) *port {
	p := &port{object{tenant: tenant}, mgc.Port{ID: uuid.NewString(), Name: name, VPCID: sn.VPCID, SecurityGroups: groups,
		IPAddress: []mgc.PortAddress{{IPAddress: c.allocate(sn.CIDRBlock), SubnetID: sn.ID, EtherType: "IPv4"}}}}
	c.ports[p.ID] = p
	return p
}

func (c *Cloud) newPublicIP(tenant, vpcID, description string) *publicIP {
	ip := &publicIP{object{tenant: tenant}, mgc.PublicIP{ID: uuid.NewString(), VPCID: vpcID, Description: description,
		PublicIP: c.allocate("198.18.0.0/16"), Status: mgc.NetworkCreated}}
	c.publicIPs[ip.ID] = ip
	return ip
}

func (c *Cloud) routeNetwork() {
	c.handle("GET /network/v0/vpcs", func(rq call) {
		var out []mgc.VPC
		for _, v := range c.vpcs {
			if v.of(rq.tenant) {
				out = append(out, v.VPC)
			}
		}
		rq.ok(http.StatusOK, map[string]any{"vpcs": out})
	})
	c.handle("POST /network/v1/vpcs", c.createVPC)
	c.handle("GET /network/v0/vpcs/{id}", func(rq call) { show(rq, c.vpcs[rq.PathValue("id")], "VPC") })
	c.handle("GET /network/v0/vpcs/{id}/subnets", func(rq call) {
		rq.ok(http.StatusOK, map[string]any{"subnets": c.subnetsOf(rq.PathValue("id"))})
	})
	c.handle("POST /network/v0/vpcs/{id}/subnets", func(rq call) {
		var in mgc.SubnetCreate
		v := c.vpcs[rq.PathValue("id")]
		if v == nil || !v.of(rq.tenant) {
			rq.notFound("VPC")
		} else if rq.decode(&in) {
			rq.ok(http.StatusCreated, map[string]string{"id": c.newSubnet(v, rq.Header.Get("x-zone"), in).ID})
		}
	})
	c.handle("GET /network/v0/subnets/{id}", func(rq call) { show(rq, c.subnets[rq.PathValue("id")], "subnet") })
	c.routeSecurityGroups()
	c.handle("GET /network/v0/vpcs/{id}/ports", c.listPorts)
	c.handle("GET /network/v0/ports/{id}", func(rq call) { show(rq, c.ports[rq.PathValue("id")], "port") })
	c.handle("GET /network/v0/public_ips", func(rq call) {
		rq.ok(http.StatusOK, map[string]any{"public_ips": c.publicIPsOf(rq.tenant, "")})
	})
	c.handle("POST /network/v0/vpcs/{id}/public_ips", func(rq call) {
		var in mgc.PublicIP
		if rq.decode(&in) {
			rq.ok(http.StatusOK, map[string]string{"id": c.newPublicIP(rq.tenant, rq.PathValue("id"), in.Description).ID})
		}
	})
	c.handle("DELETE /network/v0/public_ips/{id}", func(rq call) {
		ip := c.publicIPs[rq.PathValue("id")]
		switch {
		case ip == nil || !ip.of(rq.tenant):
			rq.notFound("public IP")
		case ip.PortID != "" || c.publicIPInUse(ip.ID):
			rq.fail(http.StatusConflict, "conflict", "the public IP is in use")
		default:
			delete(c.publicIPs, ip.ID)
			rq.ok(http.StatusNoContent, nil)
		}
	})
}

func (c *Cloud) createVPC(rq call) {
	var in mgc.VPCCreate
	if !rq.decode(&in) {
		return
	}
	v := &vpc{c.newObject(rq.tenant), mgc.VPC{ID: uuid.NewString(), TenantID: rq.tenant, Name: in.Name, Status: "pending"}}
	c.start(&v.object, func() { v.Status = mgc.NetworkCreated })
	c.vpcs[v.ID] = v
	rq.ok(http.StatusAccepted, map[string]string{"id": v.ID, "status": v.Status})
}

func (c *Cloud) routeSecurityGroups() {
	c.handle("GET /network/v0/security_groups", func(rq call) {
		rq.ok(http.StatusOK, map[string]any{"security_groups": c.groupsOf(rq.tenant, func(*securityGroup) bool { return true })})
	})
	c.handle("POST /network/v0/security_groups", c.createGroup)
	c.handle("DELETE /network/v0/security_groups/{id}", func(rq call) {
		c.withGroup(rq, func(g *securityGroup) {
			for _, p := range c.ports {
				if slices.Contains(p.SecurityGroups, g.ID) {
					rq.fail(http.StatusConflict, "conflict", "the security group is in use by port "+p.ID)
					return
				}
			}
			delete(c.groups, g.ID)
			rq.ok(http.StatusNoContent, nil)
		})
	})
	c.handle("GET /network/v0/security_groups/{id}/rules", func(rq call) {
		c.withGroup(rq, func(g *securityGroup) { rq.ok(http.StatusOK, map[string]any{"rules": g.rules}) })
	})
	c.handle("POST /network/v0/security_groups/{id}/rules", func(rq call) { c.withGroup(rq, func(g *securityGroup) { c.createRule(rq, g) }) })
	c.handle("DELETE /network/v0/rules/{id}", func(rq call) {
		id := rq.PathValue("id")
		for _, g := range c.groups {
			n := len(g.rules)
			g.rules = slices.DeleteFunc(g.rules, func(r mgc.SecurityGroupRule) bool { return r.ID == id })
			if len(g.rules) < n {
				rq.ok(http.StatusNoContent, nil)
				return
			}
		}
		rq.notFound("rule")
	})
}

func (c *Cloud) withGroup(rq call, f func(*securityGroup)) {
	g := c.groups[rq.PathValue("id")]
	if g == nil || !g.of(rq.tenant) {
		rq.notFound("security group")
		return
	}
	f(g)
}

func (c *Cloud) createGroup(rq call) {
	var in mgc.SecurityGroupCreate
	if !rq.decode(&in) {
		return
	}
	if len(in.Name) < 5 || len(in.Name) > 100 {
		rq.fail(http.StatusUnprocessableEntity, "validation_error", "name: 5 to 100 characters")
		return
	}
	g := &securityGroup{object: object{tenant: rq.tenant}, SecurityGroup: mgc.SecurityGroup{ID: uuid.NewString(), Name: in.Name,
		Description: in.Description, Status: mgc.NetworkCreated}}
	g.rules = []mgc.SecurityGroupRule{
		{ID: uuid.NewString(), Direction: "egress", EtherType: "IPv4", Status: mgc.NetworkCreated},
		{ID: uuid.NewString(), Direction: "egress", EtherType: "IPv6", Status: mgc.NetworkCreated},
	}
	c.groups[g.ID] = g
	rq.ok(http.StatusOK, map[string]string{"id": g.ID})
}

// createRule refuses a rule that is already there, as OpenStack does.
func (c *Cloud) createRule(rq call, g *securityGroup) {
	var in mgc.SecurityGroupRule
	if !rq.decode(&in) {
		return
	}
	if in.RemoteIPPrefix != "" {
		prefix, err := netip.ParsePrefix(in.RemoteIPPrefix)
		if err != nil {
			rq.fail(http.StatusUnprocessableEntity, "validation_error", "remote_ip_prefix: "+err.Error())
			return
		}
		in.RemoteIPPrefix = prefix.Masked().String()
	}
	for _, r := range g.rules {
		same := in
		same.ID, same.Status, same.Description = r.ID, r.Status, r.Description
		if r == same {
			rq.fail(http.StatusConflict, "conflict", "the rule exists")
			return
		}
	}
	in.ID, in.Status = uuid.NewString(), mgc.NetworkCreated
	g.rules = append(g.rules, in)
	rq.ok(http.StatusOK, map[string]string{"id": in.ID})
}

func (c *Cloud) listPorts(rq call) {
	var all []mgc.Port
	for _, p := range c.ports {
		if p.of(rq.tenant) && p.VPCID == rq.PathValue("id") {
			all = append(all, p.Port)
		}
	}
	slices.SortFunc(all, func(a, b mgc.Port) int { return strings.Compare(a.ID, b.ID) })
	limit, number := 10, 1
	if n, err := strconv.Atoi(rq.URL.Query().Get("_limit")); err == nil {
		limit = n
	}
	if n, err := strconv.Atoi(rq.URL.Query().Get("_offset")); err == nil {
		number = max(1, n)
	}
	start := min((number-1)*limit, len(all))
	rq.ok(http.StatusOK, map[string]any{"ports": all[start:min(start+limit, len(all))]})
}

func (c *Cloud) subnetsOf(vpcID string) []mgc.Subnet {
	out := []mgc.Subnet{}
	for _, s := range c.subnets {
		if s.VPCID == vpcID {
			out = append(out, s.Subnet)
		}
	}
	slices.SortFunc(out, func(a, b mgc.Subnet) int { return strings.Compare(a.Zone, b.Zone) })
	return out
}

func (c *Cloud) groupsOf(tenant string, keep func(*securityGroup) bool) []mgc.SecurityGroup {
	out := []mgc.SecurityGroup{}
	for _, g := range c.groups {
		if g.of(tenant) && keep(g) {
			out = append(out, g.SecurityGroup)
		}
	}
	slices.SortFunc(out, func(a, b mgc.SecurityGroup) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (c *Cloud) publicIPsOf(tenant, vpcID string) []mgc.PublicIP {
	out := []mgc.PublicIP{}
	for _, ip := range c.publicIPs {
		if ip.of(tenant) && (vpcID == "" || ip.VPCID == vpcID) {
			out = append(out, ip.PublicIP)
		}
	}
	return out
}
