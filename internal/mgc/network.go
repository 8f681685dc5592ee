package mgc

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// NetworkCreated is the final good status of VPCs, security groups and rules.
const NetworkCreated = "created"

// VPC is a private network.
type VPC struct {
	ID             string   `json:"id"`
	TenantID       string   `json:"tenant_id"`
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	Status         string   `json:"status"`
	Error          string   `json:"error"`
	IsDefault      bool     `json:"is_default"`
	Subnets        []string `json:"subnets"`
	SecurityGroups []string `json:"security_groups"`
}

// VPCCreate is the wanted VPC; name at most 50, description at most 200 characters.
type VPCCreate struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// Subnet of a VPC. Zone is the bare letter, for example a.
type Subnet struct {
	ID             string   `json:"id"`
	VPCID          string   `json:"vpc_id"`
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	CIDRBlock      string   `json:"cidr_block"`
	SubnetPoolID   string   `json:"subnetpool_id"`
	Zone           string   `json:"zone"`
	GatewayIP      string   `json:"gateway_ip"`
	DNSNameservers []string `json:"dns_nameservers"`
}

// SubnetCreate is the wanted subnet.
type SubnetCreate struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	CIDRBlock   string `json:"cidr_block"`
	// IPVersion is 4.
	IPVersion      int      `json:"ip_version"`
	DNSNameservers []string `json:"dns_nameservers,omitempty"`
	SubnetPoolID   string   `json:"subnetpool_id,omitempty"`
}

// SecurityGroup is a set of firewall rules for ports.
type SecurityGroup struct {
	ID          string `json:"id"`
	VPCID       string `json:"vpc_id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Status      string `json:"status"`
	Error       string `json:"error"`
	IsDefault   bool   `json:"is_default"`
}

// SecurityGroupCreate is the wanted security group; name 5 to 100 characters.
type SecurityGroupCreate struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
}

// SecurityGroupRule lets traffic through. Unset fields mean any.
type SecurityGroupRule struct {
	ID string `json:"id,omitempty"`
	// Direction is ingress or egress.
	Direction string `json:"direction"`
	// EtherType is IPv4 or IPv6.
	EtherType string `json:"ethertype"`
	// Protocol is tcp, udp, icmp, or empty for any.
	Protocol       string `json:"protocol,omitempty"`
	PortRangeMin   int    `json:"port_range_min,omitempty"`
	PortRangeMax   int    `json:"port_range_max,omitempty"`
	RemoteIPPrefix string `json:"remote_ip_prefix,omitempty"`
	Description    string `json:"description,omitempty"`
	Status         string `json:"status,omitempty"`
}

// Port is a network interface in a VPC.
type Port struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Description    string         `json:"description"`
	VPCID          string         `json:"vpc_id"`
	SecurityGroups []string       `json:"security_groups"`
	PublicIP       []PortPublicIP `json:"public_ip"`
	IPAddress      []PortAddress  `json:"ip_address"`
}

// PortPublicIP is a public address of a port.
type PortPublicIP struct {
	PublicIPID string `json:"public_ip_id"`
	PublicIP   string `json:"public_ip"`
}

// PortAddress is an address of a port in a subnet.
type PortAddress struct {
	IPAddress string `json:"ip_address"`
	SubnetID  string `json:"subnet_id"`
	EtherType string `json:"ethertype"`
}

// PublicIP is an address reachable from outside.
type PublicIP struct {
	ID          string `json:"id"`
	ExternalID  string `json:"external_id"`
	VPCID       string `json:"vpc_id"`
	Description string `json:"description"`
	PublicIP    string `json:"public_ip"`
	PortID      string `json:"port_id"`
	Status      string `json:"status"`
	Error       string `json:"error"`
}

// ListVPCs returns all VPCs of the tenant.
func (c *NetworkClient) ListVPCs(ctx context.Context) ([]VPC, error) {
	var out struct {
		VPCs []VPC `json:"vpcs"`
	}
	err := c.get(ctx, "/v0/vpcs", nil, &out)
	return out.VPCs, err
}

// GetVPC returns one VPC.
func (c *NetworkClient) GetVPC(ctx context.Context, id string) (*VPC, error) {
	return fetch[VPC](ctx, c.caller, "/v0/vpcs/"+url.PathEscape(id))
}

// CreateVPC starts the creation and returns the new id; usable once its status is created.
func (c *NetworkClient) CreateVPC(ctx context.Context, in VPCCreate) (string, error) {
	return c.create(ctx, request{path: "/v1/vpcs", in: in})
}

// DeleteVPC deletes an empty VPC.
func (c *NetworkClient) DeleteVPC(ctx context.Context, id string) error {
	return c.delete(ctx, "/v0/vpcs/"+url.PathEscape(id), nil)
}

// ListSubnets returns the subnets of a VPC.
func (c *NetworkClient) ListSubnets(ctx context.Context, vpcID string) ([]Subnet, error) {
	var out struct {
		Subnets []Subnet `json:"subnets"`
	}
	err := c.get(ctx, "/v0/vpcs/"+url.PathEscape(vpcID)+"/subnets", nil, &out)
	return out.Subnets, err
}

// GetSubnet returns one subnet.
func (c *NetworkClient) GetSubnet(ctx context.Context, id string) (*Subnet, error) {
	return fetch[Subnet](ctx, c.caller, "/v0/subnets/"+url.PathEscape(id))
}

// CreateSubnet creates a subnet in a zone (bare letter) and returns its id.
func (c *NetworkClient) CreateSubnet(ctx context.Context, vpcID, zone string, in SubnetCreate) (string, error) {
	return c.create(ctx, request{path: "/v0/vpcs/" + url.PathEscape(vpcID) + "/subnets", in: in,
		header: map[string]string{"x-zone": zone}})
}

// DeleteSubnet deletes an empty subnet.
func (c *NetworkClient) DeleteSubnet(ctx context.Context, id string) error {
	return c.delete(ctx, "/v0/subnets/"+url.PathEscape(id), nil)
}

// ListSecurityGroups returns all security groups of the tenant.
func (c *NetworkClient) ListSecurityGroups(ctx context.Context) ([]SecurityGroup, error) {
	var out struct {
		SecurityGroups []SecurityGroup `json:"security_groups"`
	}
	err := c.get(ctx, "/v0/security_groups", nil, &out)
	return out.SecurityGroups, err
}

// CreateSecurityGroup creates a security group, with the cloud's default rules (all egress), and returns its id.
func (c *NetworkClient) CreateSecurityGroup(ctx context.Context, in SecurityGroupCreate) (string, error) {
	return c.create(ctx, request{path: "/v0/security_groups", in: in})
}

// DeleteSecurityGroup deletes a security group that no port uses.
func (c *NetworkClient) DeleteSecurityGroup(ctx context.Context, id string) error {
	return c.delete(ctx, "/v0/security_groups/"+url.PathEscape(id), nil)
}

// ListSecurityGroupRules returns the rules of a security group.
func (c *NetworkClient) ListSecurityGroupRules(ctx context.Context, groupID string) ([]SecurityGroupRule, error) {
	var out struct {
		Rules []SecurityGroupRule `json:"rules"`
	}
	err := c.get(ctx, "/v0/security_groups/"+url.PathEscape(groupID)+"/rules", nil, &out)
	return out.Rules, err
}

// CreateSecurityGroupRule adds a rule and returns its id.
func (c *NetworkClient) CreateSecurityGroupRule(ctx context.Context, groupID string, in SecurityGroupRule) (string, error) {
	return c.create(ctx, request{path: "/v0/security_groups/" + url.PathEscape(groupID) + "/rules", in: in})
}

// DeleteSecurityGroupRule removes a rule.
func (c *NetworkClient) DeleteSecurityGroupRule(ctx context.Context, id string) error {
	return c.delete(ctx, "/v0/rules/"+url.PathEscape(id), nil)
}

// ListPorts returns all ports of a VPC. The contract counts pages from 1 and gives no total.
func (c *NetworkClient) ListPorts(ctx context.Context, vpcID string) ([]Port, error) {
	seen := map[string]bool{}
	number := 0
	return collect(func(int) ([]Port, int, error) {
		number++
		var out struct {
			Ports []Port `json:"ports"`
		}
		query := url.Values{"_limit": {strconv.Itoa(pageSize)}, "_offset": {strconv.Itoa(number)}, "detailed": {"true"}}
		err := c.get(ctx, "/v0/vpcs/"+url.PathEscape(vpcID)+"/ports", query, &out)
		var fresh []Port
		for _, p := range out.Ports {
			if !seen[p.ID] {
				seen[p.ID] = true
				fresh = append(fresh, p)
			}
		}
		return fresh, 0, err
	})
}

// GetPort returns one port.
func (c *NetworkClient) GetPort(ctx context.Context, id string) (*Port, error) {
	return fetch[Port](ctx, c.caller, "/v0/ports/"+url.PathEscape(id))
}

// ListPublicIPs returns all public addresses of the tenant.
func (c *NetworkClient) ListPublicIPs(ctx context.Context) ([]PublicIP, error) {
	var out struct {
		PublicIPs []PublicIP `json:"public_ips"`
	}
	err := c.get(ctx, "/v0/public_ips", nil, &out)
	return out.PublicIPs, err
}

// CreatePublicIP allocates a public address in a VPC and returns its id.
func (c *NetworkClient) CreatePublicIP(ctx context.Context, vpcID, description string) (string, error) {
	in := struct {
		Description string `json:"description,omitempty"`
	}{description}
	return c.create(ctx, request{path: "/v0/vpcs/" + url.PathEscape(vpcID) + "/public_ips", in: in})
}

// DeletePublicIP releases a public address.
func (c *NetworkClient) DeletePublicIP(ctx context.Context, id string) error {
	return c.delete(ctx, "/v0/public_ips/"+url.PathEscape(id), nil)
}

// AttachPublicIP gives a public address to a port.
func (c *NetworkClient) AttachPublicIP(ctx context.Context, id, portID string) error {
	return c.publicIPAction(ctx, id, "attach", portID)
}

// DetachPublicIP takes a public address from a port.
func (c *NetworkClient) DetachPublicIP(ctx context.Context, id, portID string) error {
	return c.publicIPAction(ctx, id, "detach", portID)
}

func (c *NetworkClient) publicIPAction(ctx context.Context, id, verb, portID string) error {
	return c.do(ctx, request{method: http.MethodPost,
		path: "/v0/public_ips/" + url.PathEscape(id) + "/" + verb + "/" + url.PathEscape(portID)})
}

func fetch[T any](ctx context.Context, c *caller, path string) (*T, error) {
	var out T
	if err := c.get(ctx, path, nil, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
