package mgc

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// States of an Instance.
const (
	InstanceNew     = "new"
	InstanceRunning = "running"
	InstanceStopped = "stopped"
	InstanceError   = "error"
	InstanceDeleted = "deleted"
)

// InstanceCompleted is the status of an Instance on which nothing is under way.
const InstanceCompleted = "completed"

// Ref names an object by id or by name; the id wins.
type Ref struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// Instance is a virtual machine.
type Instance struct {
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	MachineType      MachineType     `json:"machine_type"`
	Image            Ref             `json:"image"`
	Status           string          `json:"status"`
	State            string          `json:"state"`
	AvailabilityZone string          `json:"availability_zone"`
	Network          InstanceNetwork `json:"network"`
	Labels           []string        `json:"labels"`
	Error            *InstanceFault  `json:"error"`
	CreatedAt        string          `json:"created_at"`
}

// InstanceFault says why an instance is in error.
type InstanceFault struct {
	Message string `json:"message"`
	Slug    string `json:"slug"`
}

// InstanceNetwork is where an instance is plugged in.
type InstanceNetwork struct {
	VPC        Ref                 `json:"vpc"`
	Interfaces []InstanceInterface `json:"interfaces"`
}

// InstanceInterface is a network interface (port) of an instance.
type InstanceInterface struct {
	ID                   string   `json:"id"`
	Name                 string   `json:"name"`
	SecurityGroups       []string `json:"security_groups"`
	Primary              bool     `json:"primary"`
	AssociatedPublicIPv4 string   `json:"associated_public_ipv4"`
	IPAddresses          struct {
		PrivateIPv4 string `json:"private_ipv4"`
		PublicIPv6  string `json:"public_ipv6"`
	} `json:"ip_addresses"`
}

// PrimaryInterface returns the first interface, nil while the cloud has not made it.
func (i *Instance) PrimaryInterface() *InstanceInterface {
	for n := range i.Network.Interfaces {
		if i.Network.Interfaces[n].Primary {
			return &i.Network.Interfaces[n]
		}
	}
	if len(i.Network.Interfaces) > 0 {
		return &i.Network.Interfaces[0]
	}
	return nil
}

// PrivateIPv4 of the primary interface, empty while there is none.
func (i *Instance) PrivateIPv4() string {
	if nic := i.PrimaryInterface(); nic != nil {
		return nic.IPAddresses.PrivateIPv4
	}
	return ""
}

// HasLabel is true if the instance carries label.
func (i *Instance) HasLabel(label string) bool { return slices.Contains(i.Labels, label) }

// InstanceCreate is the wanted instance.
type InstanceCreate struct {
	// Name, 1 to 255 characters.
	Name             string                `json:"name"`
	MachineType      Ref                   `json:"machine_type"`
	Image            Ref                   `json:"image"`
	SSHKeyName       string                `json:"ssh_key_name,omitempty"`
	AvailabilityZone string                `json:"availability_zone,omitempty"`
	Network          InstanceCreateNetwork `json:"network"`
	// UserData is sent in base64, at most 65000 characters of it.
	UserData []byte   `json:"user_data,omitempty"`
	Labels   []string `json:"labels,omitempty"`
}

// InstanceCreateNetwork says where to plug a new instance in.
type InstanceCreateNetwork struct {
	// VPC, the tenant's default one if nil.
	VPC       *Ref                     `json:"vpc,omitempty"`
	Interface *InstanceCreateInterface `json:"interface,omitempty"`
	// AssociatePublicIP is always sent, because the cloud's default is true.
	AssociatePublicIP bool `json:"associate_public_ip"`
}

// InstanceCreateInterface is an existing port (ID) or the wish for a new one (the rest).
type InstanceCreateInterface struct {
	ID             string `json:"id,omitempty"`
	SecurityGroups []Ref  `json:"security_groups,omitempty"`
	// Subnets holds at most one.
	Subnets []Ref `json:"subnets,omitempty"`
}

// MachineType is a size of instances; RAM in MB, disk in GB.
type MachineType struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	VCPUs             int      `json:"vcpus"`
	RAM               int      `json:"ram"`
	Disk              int      `json:"disk"`
	GPU               int      `json:"gpu"`
	Status            string   `json:"status"`
	SKU               string   `json:"sku,omitempty"`
	AvailabilityZones []string `json:"availability_zones"`
}

// Image is a disk image for instances.
type Image struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	Status            string   `json:"status"`
	Version           string   `json:"version"`
	Platform          string   `json:"platform"`
	Labels            []string `json:"labels"`
	AvailabilityZones []string `json:"availability_zones"`
}

// ListInstancesOptions select instances; the zero value selects all.
type ListInstancesOptions struct {
	// Name must be equal.
	Name string
	// Label must be one of the instance's.
	Label string
}

const pageSize = 200

var (
	instanceHeader = map[string]string{"x-api-version": "1.1"}
	instanceExpand = "network,labels,machine-type"
)

// CreateInstance starts the creation and returns the new id. Names are not unique: look for the instance first.
func (c *ComputeClient) CreateInstance(ctx context.Context, in InstanceCreate) (string, error) {
	return c.create(ctx, request{path: "/v1/instances", in: in})
}

// GetInstance returns one instance.
func (c *ComputeClient) GetInstance(ctx context.Context, id string) (*Instance, error) {
	var out Instance
	err := c.do(ctx, request{method: http.MethodGet, path: "/v1/instances/" + url.PathEscape(id), header: instanceHeader,
		query: url.Values{"expand": {instanceExpand}}, out: &out})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// ListInstances returns all matching instances. The contract has no filter by label, and says nothing about how names match, so
// the selection is made (again) here.
func (c *ComputeClient) ListInstances(ctx context.Context, opts ListInstancesOptions) ([]Instance, error) {
	all, err := collect(func(offset int) ([]Instance, int, error) {
		query := pageQuery(offset)
		query.Set("expand", instanceExpand)
		if opts.Name != "" {
			query.Set("name", opts.Name)
		}
		var out struct {
			Instances []Instance `json:"instances"`
			Meta      page       `json:"meta"`
		}
		err := c.do(ctx, request{method: http.MethodGet, path: "/v1/instances", header: instanceHeader, query: query, out: &out})
		return out.Instances, out.Meta.Page.Total, err
	})
	return slices.DeleteFunc(all, func(i Instance) bool {
		return (opts.Name != "" && i.Name != opts.Name) || (opts.Label != "" && !i.HasLabel(opts.Label))
	}), err
}

// DeleteInstance starts the deletion; the instance is gone once GetInstance answers not found.
func (c *ComputeClient) DeleteInstance(ctx context.Context, id string) error {
	return c.delete(ctx, "/v1/instances/"+url.PathEscape(id), url.Values{"delete_public_ip": {"true"}})
}

// StartInstance starts a stopped instance.
func (c *ComputeClient) StartInstance(ctx context.Context, id string) error {
	return c.action(ctx, id, "start")
}

// StopInstance stops a running instance.
func (c *ComputeClient) StopInstance(ctx context.Context, id string) error {
	return c.action(ctx, id, "stop")
}

// RebootInstance reboots a running instance.
func (c *ComputeClient) RebootInstance(ctx context.Context, id string) error {
	return c.action(ctx, id, "reboot")
}

func (c *ComputeClient) action(ctx context.Context, id, verb string) error {
	return c.do(ctx, request{method: http.MethodPost, path: "/v1/instances/" + url.PathEscape(id) + "/" + verb})
}

// InitLogs returns the newest lines (at most 5000) of an instance's console.
func (c *ComputeClient) InitLogs(ctx context.Context, id string, maxLines int) ([]string, error) {
	var out struct {
		Logs []string `json:"logs"`
	}
	err := c.get(ctx, "/v1/instances/"+url.PathEscape(id)+"/init-logs",
		url.Values{"max-lines-count": {strconv.Itoa(maxLines)}}, &out)
	return out.Logs, err
}

// ListMachineTypes returns all machine types.
func (c *ComputeClient) ListMachineTypes(ctx context.Context) ([]MachineType, error) {
	return collect(func(offset int) ([]MachineType, int, error) {
		var out struct {
			MachineTypes []MachineType `json:"machine_types"`
			Meta         page          `json:"meta"`
		}
		err := c.get(ctx, "/v1/machine-types", pageQuery(offset), &out)
		return out.MachineTypes, out.Meta.Page.Total, err
	})
}

// ListImages returns all images.
func (c *ComputeClient) ListImages(ctx context.Context) ([]Image, error) {
	return collect(func(offset int) ([]Image, int, error) {
		var out struct {
			Images []Image `json:"images"`
			Meta   page    `json:"meta"`
		}
		err := c.get(ctx, "/v1/images", pageQuery(offset), &out)
		return out.Images, out.Meta.Page.Total, err
	})
}

func pageQuery(offset int) url.Values {
	return url.Values{"_limit": {strconv.Itoa(pageSize)}, "_offset": {strconv.Itoa(offset)}}
}
