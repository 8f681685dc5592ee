package compute

import (
	"context"
	"net/http"
	"slices"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

type idView struct {
	ID string `json:"id"`
}

// machineTypeView has an id only where no more was asked for by expand; so have the others.
type machineTypeView struct {
	ID    string `json:"id"`
	Name  string `json:"name,omitempty"`
	VCPUs int    `json:"vcpus,omitempty"`
	RAM   int    `json:"ram,omitempty"`  // MiB
	Disk  int    `json:"disk,omitempty"` // GiB
}

type imageRefView struct {
	ID       string `json:"id"`
	Name     string `json:"name,omitempty"`
	Platform string `json:"platform,omitempty"`
}

type errorView struct {
	Slug    string `json:"slug"`
	Message string `json:"message"`
}

// instanceView is InstanceV1Response.
type instanceView struct {
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	MachineType      machineTypeView `json:"machine_type"`
	Image            imageRefView    `json:"image"`
	Status           string          `json:"status"`
	State            string          `json:"state"`
	UserData         *string         `json:"user_data"`
	CreatedAt        string          `json:"created_at"`
	UpdatedAt        string          `json:"updated_at"`
	SSHKeyName       *string         `json:"ssh_key_name"`
	AvailabilityZone string          `json:"availability_zone"`
	Network          networkView     `json:"network"`
	Labels           []string        `json:"labels" nullable:"true"`
	Error            *errorView      `json:"error"`
}

// expansion is what the parameter expand asks for.
type expansion struct {
	network, image, machineType, labels bool
	interfaces                          bool // x-api-version 1.1: interfaces instead of ports
}

func parseExpansion(r *http.Request, fallback ...string) expansion {
	version := httpapi.HeaderParam(r, "x-api-version", "1.1 for interfaces with their security groups; else there are ports")
	names := httpapi.ExpandParam(r, []string{"network", "image", "machine-type", "labels"}, fallback...)
	return expansion{
		interfaces: version == "1.1", network: slices.Contains(names, "network"), image: slices.Contains(names, "image"), labels: slices.Contains(names, "labels"),
		machineType: slices.Contains(names, "machine-type") || slices.Contains(names, "machine-types"),
	}
}

// views of instances of one tenant: what they have in the network is asked for once.
func (s *Service) views(ctx context.Context, e expansion, instances ...Instance) ([]instanceView, error) {
	if len(instances) == 0 {
		return []instanceView{}, nil
	}
	ids := make([]string, len(instances))
	for n, i := range instances {
		ids[n] = i.ID
	}
	ports, err := s.Network.Ports(ctx, instances[0].TenantID, ids...)
	if err != nil {
		return nil, err
	}
	views := make([]instanceView, len(instances))
	for n, i := range instances {
		views[n] = s.view(i, ports[i.ID], e)
	}
	return views, nil
}

func (s *Service) view(i Instance, ports []Port, e expansion) instanceView {
	v := instanceView{
		ID: i.ID, Name: i.Name, Status: i.Status, State: i.State, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt,
		AvailabilityZone: i.AvailabilityZone, SSHKeyName: optional(i.SSHKeyName),
		MachineType: machineTypeView{ID: i.MachineTypeID}, Image: imageRefView{ID: i.ImageID}, Network: networkOf(i, ports, e),
	}
	if i.ErrorSlug != "" {
		v.Error = &errorView{Slug: i.ErrorSlug, Message: i.ErrorMessage}
	}
	if e.labels {
		v.Labels = append([]string{}, i.Labels...)
	}
	if e.image {
		v.Image = imageRefView{ID: i.ImageID, Name: i.ImageName, Platform: "linux"}
	}
	if t, ok := findMachineType(s.types, ref{ID: i.MachineTypeID}); ok && e.machineType {
		v.MachineType = machineTypeView{ID: t.ID, Name: t.Name, VCPUs: t.VCPUs, RAM: t.RAM, Disk: t.Disk}
	}
	return v
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type vpcView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// networkView has ports or interfaces.
type networkView struct {
	VPC        *vpcView        `json:"vpc,omitempty"`
	Ports      []portView      `json:"ports,omitzero"`
	Interfaces []interfaceView `json:"interfaces,omitzero"`
}

type interfaceView struct {
	ID                   string              `json:"id"`
	Name                 string              `json:"name,omitempty"`
	SecurityGroups       []string            `json:"security_groups,omitzero"`
	Primary              *bool               `json:"primary,omitempty"`
	AssociatedPublicIPv4 *string             `json:"associated_public_ipv4,omitempty"`
	IPAddresses          *interfaceAddresses `json:"ip_addresses,omitempty"`
}

type interfaceAddresses struct {
	PrivateIPv4 *string `json:"private_ipv4"`
	PublicIPv6  *string `json:"public_ipv6"`
}

// portView is the older form of an interface.
type portView struct {
	ID          string         `json:"id"`
	Name        string         `json:"name,omitempty"`
	IPAddresses *portAddresses `json:"ipAddresses,omitempty"`
}

type portAddresses struct {
	PublicIPAddress  *string `json:"publicIpAddress"`
	PrivateIPAddress *string `json:"privateIpAddress"`
	IPv6Address      *string `json:"ipV6Address"`
}

func networkOf(i Instance, ports []Port, e expansion) networkView {
	v := networkView{}
	primary, others := []Port{}, []Port{} // there may be no primary one any more: it is being deleted
	for _, port := range ports {
		if port.ID != i.PortID {
			others = append(others, port)
			continue
		}
		primary = append(primary, port)
		if e.network {
			v.VPC = &vpcView{ID: port.VPCID, Name: port.VPCName}
		}
	}
	if !e.network {
		primary = []Port{{ID: i.PortID}}
	}
	ports = append(primary, others...)
	if e.interfaces {
		v.Interfaces = make([]interfaceView, len(ports))
		for n, port := range ports {
			v.Interfaces[n] = interfaceOf(port, port.ID == i.PortID, e)
		}
		return v
	}
	v.Ports = make([]portView, len(ports))
	for n, port := range ports {
		v.Ports[n] = portOf(port, e)
	}
	return v
}

func interfaceOf(port Port, primary bool, e expansion) interfaceView {
	if !e.network {
		return interfaceView{ID: port.ID}
	}
	return interfaceView{ID: port.ID, Name: port.Name, SecurityGroups: append([]string{}, port.SecurityGroups...), Primary: &primary,
		AssociatedPublicIPv4: optional(port.PublicIPv4), IPAddresses: &interfaceAddresses{PrivateIPv4: optional(port.PrivateIPv4)}}
}

func portOf(port Port, e expansion) portView {
	if !e.network {
		return portView{ID: port.ID}
	}
	return portView{ID: port.ID, Name: port.Name,
		IPAddresses: &portAddresses{PrivateIPAddress: optional(port.PrivateIPv4), PublicIPAddress: optional(port.PublicIPv4)}}
}

type pageMeta struct {
	Page struct {
		Limit  int `json:"limit"`
		Offset int `json:"offset"`
		Count  int `json:"count"`
		Total  int `json:"total"`
	} `json:"page"`
}

func newPageMeta(page httpapi.Page, count, total int) pageMeta {
	var m pageMeta
	m.Page.Limit, m.Page.Offset, m.Page.Count, m.Page.Total = page.Limit, page.Offset, count, total
	return m
}

type instanceList struct {
	Instances []instanceView `json:"instances"`
	Meta      pageMeta       `json:"meta"`
}

type logsView struct {
	Logs []string `json:"logs"`
}
