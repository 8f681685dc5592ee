package network

import (
	"context"
	"net/http"
	"net/netip"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type vpcView struct {
	ID             string   `json:"id"`
	TenantID       string   `json:"tenant_id"`
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	RouterID       string   `json:"router_id"`
	NetworkID      string   `json:"network_id"`
	Subnets        []string `json:"subnets"`
	SecurityGroups []string `json:"security_groups"`
	IsDefault      bool     `json:"is_default"`
	Status         string   `json:"status"`
	Error          string   `json:"error,omitempty"`
	CreatedAt      string   `json:"created_at"`
	UpdatedAt      string   `json:"updated"`
}

type vpcList struct {
	VPCs []vpcView `json:"vpcs"`
}

// viewVPC adds what belongs to the VPC.
func viewVPC(ctx context.Context, q store.Queryer, vpc VPC) (vpcView, error) {
	subnets, err := store.Rows(ctx, q, store.Text, `SELECT id FROM network_subnets WHERE vpc_id = ? ORDER BY created_at, zone`, vpc.ID)
	if err != nil {
		return vpcView{}, err
	}
	groups, err := store.Rows(ctx, q, store.Text, `SELECT id FROM network_groups WHERE vpc_id = ?`, vpc.ID)
	return vpcView{ID: vpc.ID, TenantID: vpc.TenantID, Name: vpc.Name, Description: vpc.Description, RouterID: vpc.ID, NetworkID: vpc.ID,
		Subnets: append([]string{}, subnets...), SecurityGroups: append([]string{}, groups...), IsDefault: vpc.Default, Status: vpc.Status,
		Error: vpc.Error, CreatedAt: vpc.CreatedAt, UpdatedAt: vpc.UpdatedAt}, err
}

func (s *Service) getVPCs(r *http.Request) (*vpcList, error) {
	if _, err := s.ResolveVPC(r.Context(), s.db, tenant(r), "", DefaultVPCName); err != nil { // makes it for a new tenant
		return nil, err
	}
	vpcs, err := listVPCs(r.Context(), s.db, tenant(r))
	if err != nil {
		return nil, err
	}
	views := make([]vpcView, 0, len(vpcs))
	for _, vpc := range vpcs {
		view, err := viewVPC(r.Context(), s.db, vpc)
		if err != nil {
			return nil, err
		}
		views = append(views, view)
	}
	return &vpcList{views}, nil
}

func (s *Service) getVPC(r *http.Request) (*vpcView, error) {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return nil, err
	}
	view, err := viewVPC(r.Context(), s.db, vpc)
	if err != nil {
		return nil, err
	}
	return &view, nil
}

func (s *Service) postVPC(r *http.Request) (*statusView, error) {
	var body struct{ Name, Description string }
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkText("name", body.Name, 1, 50); err != nil {
		return nil, err
	}
	if err := checkText("description", body.Description, 0, 200); err != nil {
		return nil, err
	}
	vpc, err := s.CreateVPC(r.Context(), VPC{TenantID: tenant(r), Name: body.Name, Description: body.Description})
	if err != nil {
		return nil, err
	}
	return &statusView{vpc.ID, vpc.Status}, nil
}

func (s *Service) renameVPC(r *http.Request) error {
	var body struct{ Name string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := checkText("name", body.Name, 1, 50); err != nil {
		return err
	}
	return s.RenameVPC(r.Context(), tenant(r), param(r, "vpc"), body.Name)
}

func (s *Service) deleteVPC(r *http.Request) error {
	return s.DeleteVPC(r.Context(), tenant(r), param(r, "vpc"))
}

// SubnetView is a subnet as lists show it.
type SubnetView struct {
	ID          string `json:"id"`
	VPCID       string `json:"vpc_id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	CIDRBlock   string `json:"cidr_block"`
	PoolID      string `json:"subnetpool_id,omitempty"`
	IPVersion   string `json:"ip_version"`
	Zone        string `json:"zone"`
	CreatedAt   string `json:"created_at"`
	UpdatedAt   string `json:"updated"`
}

func viewSubnet(n Subnet) SubnetView {
	return SubnetView{ID: n.ID, VPCID: n.VPCID, Name: n.Name, Description: n.Description, CIDRBlock: n.CIDR.String(), PoolID: n.PoolID,
		IPVersion: "4", Zone: n.Zone, CreatedAt: n.CreatedAt, UpdatedAt: n.UpdatedAt}
}

type subnetList struct {
	Subnets []SubnetView `json:"subnets"`
}

type subnetDetail struct {
	SubnetView
	GatewayIP      string     `json:"gateway_ip"`
	DNSNameservers []string   `json:"dns_nameservers"`
	DHCPPools      []dhcpPool `json:"dhcp_pools"`
}

type dhcpPool struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

func detailSubnet(n Subnet) *subnetDetail {
	size := uint32(1) << (32 - n.CIDR.Bits())
	return &subnetDetail{SubnetView: viewSubnet(n), GatewayIP: n.Gateway().String(), DNSNameservers: list(n.Nameservers, netip.Addr.String),
		DHCPPools: []dhcpPool{{n.Gateway().Next().String(), fromUint(toUint(n.CIDR.Addr()) + size - 2).String()}}}
}

func (s *Service) getSubnets(r *http.Request) (*subnetList, error) {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return nil, err
	}
	subnets, err := listSubnets(r.Context(), s.db, vpc.ID)
	if err != nil {
		return nil, err
	}
	return &subnetList{list(subnets, viewSubnet)}, nil
}

func (s *Service) getSubnet(r *http.Request) (*subnetDetail, error) {
	subnet, err := tenantSubnet(r.Context(), s.db, tenant(r), param(r, "subnet"))
	if err != nil {
		return nil, err
	}
	return detailSubnet(subnet), nil
}

type subnetBody struct {
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	CIDRBlock      string   `json:"cidr_block"`
	IPVersion      int      `json:"ip_version"`
	DNSNameservers []string `json:"dns_nameservers"`
	SubnetPoolID   string   `json:"subnetpool_id"`
}

func (s *Service) postSubnet(r *http.Request) (*idView, error) {
	zone := zoneHeader(r)
	var body subnetBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	subnet, err := s.checkSubnet(body, zone)
	if err != nil {
		return nil, err
	}
	subnet.VPCID = param(r, "vpc")
	if subnet, err = s.CreateSubnet(r.Context(), tenant(r), subnet); err != nil {
		return nil, err
	}
	return &idView{subnet.ID}, nil
}

func (s *Service) checkSubnet(body subnetBody, zone string) (Subnet, error) {
	subnet := Subnet{Name: body.Name, Description: body.Description, PoolID: body.SubnetPoolID}
	if err := checkText("name", body.Name, 1, 100); err != nil {
		return subnet, err
	}
	if err := checkText("description", body.Description, 0, maxDescription); err != nil {
		return subnet, err
	}
	if body.IPVersion != 4 {
		return subnet, httpapi.Invalid("ip_version: only 4 is available")
	}
	var err error
	if subnet.Zone, err = s.checkZone(zone); err != nil {
		return subnet, err
	}
	if subnet.CIDR, err = parsePrivateCIDR("cidr_block", body.CIDRBlock, 16, 29); err != nil {
		return subnet, err
	}
	subnet.Nameservers, err = parseNameservers(body.DNSNameservers)
	return subnet, err
}

func parseNameservers(texts []string) ([]netip.Addr, error) {
	if len(texts) > 5 {
		return nil, httpapi.Invalid("dns_nameservers: at most 5")
	}
	var all []netip.Addr
	for _, text := range texts {
		server, err := netip.ParseAddr(text)
		if err != nil {
			return nil, httpapi.Invalid("dns_nameservers: %q is not an IP address", text)
		}
		all = append(all, server)
	}
	return all, nil
}

func (s *Service) patchSubnet(r *http.Request) (*idView, error) {
	var body struct {
		DNSNameservers []string `json:"dns_nameservers"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	servers, err := parseNameservers(body.DNSNameservers)
	if err != nil {
		return nil, err
	}
	if err := s.SetNameservers(r.Context(), tenant(r), param(r, "subnet"), servers); err != nil {
		return nil, err
	}
	return &idView{param(r, "subnet")}, nil
}

func (s *Service) deleteSubnet(r *http.Request) error {
	return s.DeleteSubnet(r.Context(), tenant(r), param(r, "subnet"))
}
