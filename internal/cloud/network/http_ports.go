package network

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

func portAddresses(p Port) []map[string]any {
	return []map[string]any{{"ip_address": p.IP.String(), "subnet_id": p.SubnetID, "ethertype": IPv4}}
}

func (s *Service) portView(p Port) map[string]any {
	public := []map[string]any{}
	if p.PublicIPID != "" {
		public = append(public, map[string]any{"public_ip_id": p.PublicIPID, "public_ip": p.PublicIP.String()})
	}
	return map[string]any{
		"id": p.ID, "name": p.Name, "description": "", "vpc_id": p.VPCID, "is_admin_state_up": true,
		"is_port_security_enabled": true, "ip_spoofing_guard": p.SpoofGuard,
		"security_groups": append([]string{}, p.SecurityGroupIDs...), "public_ip": public, "ip_address": portAddresses(p),
		"created_at": p.CreatedAt, "updated": p.UpdatedAt,
		"network": map[string]string{"id": p.VPCID, "zone": p.Zone, "availability_zone": s.cfg.Region + "-" + p.Zone},
	}
}

// idFilter reads port_id_list, repeated or separated by commas; nil accepts every id.
func idFilter(r *http.Request) []string {
	var ids []string
	for _, value := range r.URL.Query()["port_id_list"] {
		ids = append(ids, strings.FieldsFunc(value, func(c rune) bool { return c == ',' })...)
	}
	return ids
}

func filterPorts(ports []Port, ids []string, name string) []Port {
	return slices.DeleteFunc(ports, func(p Port) bool {
		return len(ids) > 0 && !slices.Contains(ids, p.ID) || name != "" && p.Name != name
	})
}

func (s *Service) getPorts(w http.ResponseWriter, r *http.Request) error {
	ports, err := portsWhere(r.Context(), s.db, `p.tenant_id = ?`, tenant(r))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, list(filterPorts(ports, idFilter(r), ""), s.portView))
	return nil
}

func (s *Service) getVPCPorts(w http.ResponseWriter, r *http.Request) error {
	page, err := httpapi.ParseNumberedPage(r, "_offset", "_limit", 10, 1000)
	if err != nil {
		return err
	}
	detailed, err := httpapi.BoolParam(r, "detailed", true)
	if err != nil {
		return err
	}
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return err
	}
	ports, err := portsWhere(r.Context(), s.db, `p.vpc_id = ?`, vpc.ID)
	if err != nil {
		return err
	}
	ports = httpapi.Slice(filterPorts(ports, idFilter(r), r.URL.Query().Get("name")), page)
	if !detailed {
		simple := list(ports, func(p Port) map[string]any { return map[string]any{"id": p.ID, "ip_address": portAddresses(p)} })
		httpapi.JSON(w, http.StatusOK, map[string]any{"ports_simplified": simple})
		return nil
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"ports": list(ports, s.portView)})
	return nil
}

type portBody struct {
	Name             string   `json:"name"`
	HasPIP           *bool    `json:"has_pip"`
	HasSG            *bool    `json:"has_sg"`
	Subnets          []string `json:"subnets"`
	IPAddress        string   `json:"ip_address"`
	SecurityGroupsID []string `json:"security_groups_id"`
}

func (s *Service) postPort(w http.ResponseWriter, r *http.Request) error {
	var body portBody
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	request, err := s.checkPort(body, r.Header.Get("x-zone"))
	if err != nil {
		return err
	}
	request.TenantID, request.VPCID = tenant(r), param(r, "vpc")
	port, err := s.CreatePort(r.Context(), nil, request)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, created(port.ID))
	return nil
}

func (s *Service) checkPort(body portBody, zone string) (PortRequest, error) {
	request := PortRequest{Name: body.Name, SecurityGroupIDs: body.SecurityGroupsID}
	if err := checkText("name", body.Name, 5, 100); err != nil {
		return request, err
	}
	var err error
	if request.Zone, err = s.checkZone(zone); err != nil {
		return request, err
	}
	if len(body.Subnets) > 1 {
		return request, httpapi.Invalid("subnets: a port has one subnet")
	}
	if len(body.Subnets) == 1 {
		request.SubnetID = body.Subnets[0]
	}
	if body.IPAddress != "" {
		if request.IP, err = netip.ParseAddr(body.IPAddress); err != nil || !request.IP.Is4() {
			return request, httpapi.Invalid("ip_address: %q is not an IPv4 address", body.IPAddress)
		}
		if request.SubnetID == "" {
			return request, httpapi.Invalid("ip_address: name the subnet too, in subnets")
		}
	}
	request.AssociatePublicIP = body.HasPIP == nil || *body.HasPIP
	request.NoSecurityGroup = body.HasSG != nil && !*body.HasSG
	return request, nil
}

func (s *Service) getPort(w http.ResponseWriter, r *http.Request) error {
	port, err := tenantPort(r.Context(), s.db, tenant(r), param(r, "port"))
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, s.portView(port))
	return nil
}

func (s *Service) patchPort(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Guard *bool `json:"ip_spoofing_guard"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if body.Guard == nil {
		return httpapi.Invalid("ip_spoofing_guard: Field required")
	}
	if err := s.SetSpoofGuard(r.Context(), tenant(r), param(r, "port"), *body.Guard); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

// deletePort refuses ports that something of the tenant still relies on.
func (s *Service) deletePort(w http.ResponseWriter, r *http.Request) error {
	port, err := tenantPort(r.Context(), s.db, tenant(r), param(r, "port"))
	if err != nil {
		return err
	}
	routes, err := store.Count(r.Context(), s.db, `SELECT count(*) FROM network_routes WHERE port_id = ?`, port.ID)
	switch {
	case err != nil:
		return err
	case port.DeviceID != "":
		return httpapi.Conflict("the port is in use by instance %s", port.DeviceID)
	case routes > 0:
		return httpapi.Conflict("the port is in use by %d routes; delete them first", routes)
	}
	if err := s.DeletePort(r.Context(), port.ID); err != nil {
		return err
	}
	httpapi.NoContent(w)
	return nil
}

func (s *Service) attachGroup(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.AttachGroup(r.Context(), tenant(r), param(r, "port"), param(r, "group")))
}

func (s *Service) detachGroup(w http.ResponseWriter, r *http.Request) error {
	return done(w, s.DetachGroup(r.Context(), tenant(r), param(r, "port"), param(r, "group")))
}

// done answers 200 without a body, as published.
func done(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusOK)
	}
	return err
}
