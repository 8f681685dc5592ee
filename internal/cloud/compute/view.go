package compute

import (
	"context"
	"net/http"
	"strings"
)

type idView struct {
	ID string `json:"id"`
}

type machineTypeView struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	VCPUs int    `json:"vcpus"`
	RAM   int    `json:"ram"`
	Disk  int    `json:"disk"`
}

type imageRefView struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Platform string `json:"platform"`
}

type errorView struct {
	Slug    string `json:"slug"`
	Message string `json:"message"`
}

// instanceView is InstanceV1Response. What was not asked for by expand is an id only.
type instanceView struct {
	ID               string     `json:"id"`
	Name             string     `json:"name"`
	MachineType      any        `json:"machine_type"`
	Image            any        `json:"image"`
	Status           string     `json:"status"`
	State            string     `json:"state"`
	UserData         *string    `json:"user_data"`
	CreatedAt        string     `json:"created_at"`
	UpdatedAt        string     `json:"updated_at"`
	SSHKeyName       *string    `json:"ssh_key_name"`
	AvailabilityZone string     `json:"availability_zone"`
	Network          any        `json:"network"`
	Labels           []string   `json:"labels"`
	Error            *errorView `json:"error"`
}

// expansion is what the parameter expand asks for.
type expansion struct {
	network, image, machineType, labels bool
	interfaces                          bool // x-api-version 1.1: interfaces instead of ports
}

func parseExpansion(r *http.Request, fallback ...string) expansion {
	values, ok := r.URL.Query()["expand"]
	if !ok {
		values = fallback
	}
	e := expansion{interfaces: r.Header.Get("x-api-version") == "1.1"}
	for _, value := range values {
		for _, name := range strings.Split(value, ",") {
			switch strings.Trim(name, ` "[]'`) {
			case "network":
				e.network = true
			case "image":
				e.image = true
			case "machine-type", "machine-types":
				e.machineType = true
			case "labels":
				e.labels = true
			}
		}
	}
	return e
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
		MachineType: idView{i.MachineTypeID}, Image: idView{i.ImageID},
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
	v.Network = networkView(i, ports, e)
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

type interfaceView struct {
	ID                   string   `json:"id"`
	Name                 string   `json:"name"`
	SecurityGroups       []string `json:"security_groups"`
	Primary              bool     `json:"primary"`
	AssociatedPublicIPv4 *string  `json:"associated_public_ipv4"`
	IPAddresses          struct {
		PrivateIPv4 *string `json:"private_ipv4"`
		PublicIPv6  *string `json:"public_ipv6"`
	} `json:"ip_addresses"`
}

// portView is the older form of an interface.
type portView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	IPAddresses struct {
		PublicIPAddress  *string `json:"publicIpAddress"`
		PrivateIPAddress *string `json:"privateIpAddress"`
		IPv6Address      *string `json:"ipV6Address"`
	} `json:"ipAddresses"`
}

func networkView(i Instance, ports []Port, e expansion) any {
	key := "ports"
	if e.interfaces {
		key = "interfaces"
	}
	if !e.network {
		ids := []idView{{i.PortID}}
		for _, port := range ports {
			if port.ID != i.PortID {
				ids = append(ids, idView{port.ID})
			}
		}
		return map[string]any{key: ids}
	}
	var vpc any
	first, others := []any{}, []any{} // there may be no first one any more: it is being deleted
	for _, port := range ports {
		if port.ID == i.PortID {
			vpc = vpcView{ID: port.VPCID, Name: port.VPCName}
			first = append(first, portOf(port, true, e.interfaces))
		} else {
			others = append(others, portOf(port, false, e.interfaces))
		}
	}
	return map[string]any{"vpc": vpc, key: append(first, others...)}
}

func portOf(port Port, primary, asInterface bool) any {
	if asInterface {
		v := interfaceView{ID: port.ID, Name: port.Name, SecurityGroups: append([]string{}, port.SecurityGroups...), Primary: primary,
			AssociatedPublicIPv4: optional(port.PublicIPv4)}
		v.IPAddresses.PrivateIPv4 = optional(port.PrivateIPv4)
		return v
	}
	v := portView{ID: port.ID, Name: port.Name}
	v.IPAddresses.PrivateIPAddress, v.IPAddresses.PublicIPAddress = optional(port.PrivateIPv4), optional(port.PublicIPv4)
	return v
}

type pageMeta struct {
	Page struct {
		Limit  int `json:"limit"`
		Offset int `json:"offset"`
		Count  int `json:"count"`
		Total  int `json:"total"`
	} `json:"page"`
}

func newPageMeta(limit, offset, count, total int) pageMeta {
	var m pageMeta
	m.Page.Limit, m.Page.Offset, m.Page.Count, m.Page.Total = limit, offset, count, total
	return m
}
