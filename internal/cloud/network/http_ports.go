package network

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type portView struct {
	ID             string         `json:"id"`
	Name           string         `json:"name"`
	Description    string         `json:"description"`
	VPCID          string         `json:"vpc_id"`
	IsAdminStateUp bool           `json:"is_admin_state_up"`
	IsSecurity     bool           `json:"is_port_security_enabled"`
	SpoofGuard     bool           `json:"ip_spoofing_guard"`
	SecurityGroups []string       `json:"security_groups"`
	PublicIP       []portPublicIP `json:"public_ip"`
	IPAddress      []portAddress  `json:"ip_address"`
	CreatedAt      string         `json:"created_at"`
	UpdatedAt      string         `json:"updated"`
	Network        portNetwork    `json:"network"`
}

type portPublicIP struct {
	ID      string `json:"public_ip_id"`
	Address string `json:"public_ip"`
}

type portAddress struct {
	Address   string `json:"ip_address"`
	SubnetID  string `json:"subnet_id"`
	EtherType string `json:"ethertype"`
}

type portNetwork struct {
	ID               string `json:"id"`
	Zone             string `json:"zone"`
	AvailabilityZone string `json:"availability_zone"`
}

type simplePort struct {
	ID        string        `json:"id"`
	IPAddress []portAddress `json:"ip_address"`
}

// vpcPorts has one of the two.
type vpcPorts struct {
	Ports      []portView   `json:"ports,omitzero"`
	Simplified []simplePort `json:"ports_simplified,omitzero"`
}

func portAddresses(p Port) []portAddress {
	return []portAddress{{p.IP.String(), p.SubnetID, IPv4}}
}

func viewSimple(p Port) simplePort { return simplePort{p.ID, portAddresses(p)} }

func (s *Service) viewPort(p Port) portView {
	v := portView{
		ID: p.ID, Name: p.Name, VPCID: p.VPCID, IsAdminStateUp: true, IsSecurity: true, SpoofGuard: p.SpoofGuard,
		SecurityGroups: append([]string{}, p.SecurityGroupIDs...), PublicIP: []portPublicIP{}, IPAddress: portAddresses(p),
		CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt, Network: portNetwork{p.VPCID, p.Zone, s.cfg.Region + "-" + p.Zone},
	}
	if p.PublicIPID != "" {
		v.PublicIP = append(v.PublicIP, portPublicIP{p.PublicIPID, p.PublicIP.String()})
	}
	return v
}

// idFilter reads port_id_list, repeated or separated by commas; nil accepts every id.
func idFilter(r *http.Request) []string {
	var ids []string
	for _, value := range httpapi.ListParam(r, "port_id_list", "only those with these ids") {
		ids = append(ids, strings.FieldsFunc(value, func(c rune) bool { return c == ',' })...)
	}
	return ids
}

func filterPorts(ports []Port, ids []string, name string) []Port {
	return slices.DeleteFunc(ports, func(p Port) bool {
		return len(ids) > 0 && !slices.Contains(ids, p.ID) || name != "" && p.Name != name
	})
}

func (s *Service) getPorts(r *http.Request) ([]portView, error) {
	ids := idFilter(r)
	ports, err := portsWhere(r.Context(), s.db, `p.tenant_id = ?`, tenant(r))
	return list(filterPorts(ports, ids, ""), s.viewPort), err
}

func (s *Service) getVPCPorts(r *http.Request) (*vpcPorts, error) {
	page, err := httpapi.ParseNumberedPage(r, "_offset", "_limit", 10, 1000)
	if err != nil {
		return nil, err
	}
	detailed, err := httpapi.BoolParam(r, "detailed", "false for ids and addresses only", true)
	if err != nil {
		return nil, err
	}
	ids, name := idFilter(r), httpapi.TextParam(r, "name", "only those with this name")
	vpc, err := tenantVPC(r.Context(), s.db, tenant(r), param(r, "vpc"))
	if err != nil {
		return nil, err
	}
	ports, err := portsWhere(r.Context(), s.db, `p.vpc_id = ?`, vpc.ID)
	if err != nil {
		return nil, err
	}
	ports = httpapi.Slice(filterPorts(ports, ids, name), page)
	if !detailed {
		return &vpcPorts{Simplified: list(ports, viewSimple)}, nil
	}
	return &vpcPorts{Ports: list(ports, s.viewPort)}, nil
}

type portBody struct {
	Name             string   `json:"name"`
	HasPIP           *bool    `json:"has_pip"`
	HasSG            *bool    `json:"has_sg"`
	Subnets          []string `json:"subnets"`
	IPAddress        string   `json:"ip_address"`
	SecurityGroupsID []string `json:"security_groups_id"`
}

func (s *Service) postPort(r *http.Request) (*idView, error) {
	zone := zoneHeader(r)
	var body portBody
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	request, err := s.checkPort(body, zone)
	if err != nil {
		return nil, err
	}
	request.TenantID, request.VPCID = tenant(r), param(r, "vpc")
	port, err := s.CreatePort(r.Context(), nil, request)
	if err != nil {
		return nil, err
	}
	return &idView{port.ID}, nil
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

func (s *Service) getPort(r *http.Request) (*portView, error) {
	port, err := tenantPort(r.Context(), s.db, tenant(r), param(r, "port"))
	if err != nil {
		return nil, err
	}
	v := s.viewPort(port)
	return &v, nil
}

func (s *Service) patchPort(r *http.Request) error {
	var body struct {
		Guard *bool `json:"ip_spoofing_guard"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if body.Guard == nil {
		return httpapi.Invalid("ip_spoofing_guard: Field required")
	}
	return s.SetSpoofGuard(r.Context(), tenant(r), param(r, "port"), *body.Guard)
}

// deletePort refuses ports that something of the tenant still relies on.
func (s *Service) deletePort(r *http.Request) error {
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
	return s.DeletePort(r.Context(), port.ID)
}

func (s *Service) attachGroup(r *http.Request) error {
	return s.AttachGroup(r.Context(), tenant(r), param(r, "port"), param(r, "group"))
}

func (s *Service) detachGroup(r *http.Request) error {
	return s.DetachGroup(r.Context(), tenant(r), param(r, "port"), param(r, "group"))
}
