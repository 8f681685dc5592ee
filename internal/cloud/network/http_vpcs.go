package network

import (
	"context"
	"net/http"
	"net/netip"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// vpcView adds what belongs to the VPC.
func vpcView(ctx context.Context, q store.Queryer, vpc VPC) (map[string]any, error) {
	subnets, err := store.Rows(ctx, q, store.Text, `SELECT id FROM network_subnets WHERE vpc_id = ? ORDER BY created_at, zone`, vpc.ID)
	if err != nil {
		return nil, err
	}
	groups, err := store.Rows(ctx, q, store.Text, `SELECT id FROM network_groups WHERE vpc_id = ?`, vpc.ID)
	if err != nil {
		return nil, err
	}
	same := func(id string) string { return id }
	return given(map[string]any{
		"id": vpc.ID, "tenant_id": vpc.TenantID, "name": vpc.Name, "description": vpc.Description,
		"router_id": vpc.ID, "network_id": vpc.ID,
		"subnets": list(subnets, same), "security_groups": list(groups, same),
		"is_default": vpc.Default, "status": vpc.Status, "error": orNothing(vpc.Error),
		"created_at": vpc.CreatedAt, "updated": vpc.UpdatedAt,
	}), nil
}

func (s *Service) getVPCs(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.ResolveVPC(r.Context(), s.db, tenant(r), "", DefaultVPCName); err != nil { // makes it for a new tenant
		return err
	}
	vpcs, err := listVPCs(r.Context(), s.db, tenant(r))
	if err != nil {
		return err
	}
	views := make([]any, 0, len(vpcs))
	for _, vpc := range vpcs {
		view, err := vpcView(r.Context(), s.db, vpc)
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"vpcs": views})
	return nil
}

func (s *Service) getVPC(w http.ResponseWriter, r *http.Request) error {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return err
	}
	view, err := vpcView(r.Context(), s.db, vpc)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, view)
	return nil
}

func (s *Service) postVPC(w http.ResponseWriter, r *http.Request) error {
	var body struct{ Name, Description string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := checkText("name", body.Name, 1, 50); err != nil {
		return err
	}
	if err := checkText("description", body.Description, 0, 200); err != nil {
		return err
	}
	vpc, err := s.CreateVPC(r.Context(), VPC{TenantID: tenant(r), Name: body.Name, Description: body.Description})
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusAccepted, map[string]any{"id": vpc.ID, "status": vpc.Status})
	return nil
}

func (s *Service) renameVPC(w http.ResponseWriter, r *http.Request) error {
	var body struct{ Name string }
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if err := checkText("name", body.Name, 1, 50); err != nil {
		return err
	}
	if err := s.RenameVPC(r.Context(), tenant(r), param(r, "vpc"), body.Name); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

func (s *Service) deleteVPC(w http.ResponseWriter, r *http.Request) error {
	if err := s.DeleteVPC(r.Context(), tenant(r), param(r, "vpc")); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

func subnetView(n Subnet) map[string]any {
	return given(map[string]any{
		"id": n.ID, "vpc_id": n.VPCID, "name": n.Name, "description": n.Description, "cidr_block": n.CIDR.String(),
		"subnetpool_id": orNothing(n.PoolID), "ip_version": "4", "zone": n.Zone, "created_at": n.CreatedAt, "updated": n.UpdatedAt,
	})
}

func subnetDetail(n Subnet) map[string]any {
	view := subnetView(n)
	size := uint32(1) << (32 - n.CIDR.Bits())
	view["gateway_ip"] = n.Gateway().String()
	view["dns_nameservers"] = list(n.Nameservers, netip.Addr.String)
	view["dhcp_pools"] = []map[string]string{{
		"start": n.Gateway().Next().String(), "end": fromUint(toUint(n.CIDR.Addr()) + size - 2).String(),
	}}
	return view
}

func (s *Service) getSubnets(w http.ResponseWriter, r *http.Request) error {
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return err
	}
	subnets, err := listSubnets(r.Context(), s.db, vpc.ID)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"subnets": list(subnets, subnetView)})
	return nil
}

func (s *Service) getSubnet(w http.ResponseWriter, r *http.Request) error {
	subnet, err := tenantSubnet(r.Context(), s.db, tenant(r), param(r, "subnet"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, subnetDetail(subnet))
	return nil
}

type subnetBody struct {
	Name           string   `json:"name"`
	Description    string   `json:"description"`
	CIDRBlock      string   `json:"cidr_block"`
	IPVersion      int      `json:"ip_version"`
	DNSNameservers []string `json:"dns_nameservers"`
	SubnetPoolID   string   `json:"subnetpool_id"`
}

func (s *Service) postSubnet(w http.ResponseWriter, r *http.Request) error {
	var body subnetBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	subnet, err := s.checkSubnet(body, r.Header.Get("x-zone"))
	if err != nil {
		return err
	}
	subnet.VPCID = param(r, "vpc")
	if subnet, err = s.CreateSubnet(r.Context(), tenant(r), subnet); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusCreated, created(subnet.ID))
	return nil
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

func (s *Service) patchSubnet(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		DNSNameservers []string `json:"dns_nameservers"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	servers, err := parseNameservers(body.DNSNameservers)
	if err != nil {
		return err
	}
	if err := s.SetNameservers(r.Context(), tenant(r), param(r, "subnet"), servers); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, created(param(r, "subnet")))
	return nil
}

func (s *Service) deleteSubnet(w http.ResponseWriter, r *http.Request) error {
	if err := s.DeleteSubnet(r.Context(), tenant(r), param(r, "subnet")); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}
