package compute

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	maxName     = 255
	maxUserData = 65000 // characters of base64
	maxLabels   = 100
	maxVolumes  = 25
)

// createRequest is InstanceCreateRequestV1Default. Pointers tell a missing field from an empty one.
type createRequest struct {
	Name             *string         `json:"name"`
	MachineType      *ref            `json:"machine_type"`
	Image            *ref            `json:"image"`
	SSHKeyName       *string         `json:"ssh_key_name"`
	AvailabilityZone *string         `json:"availability_zone"`
	UserData         *string         `json:"user_data"`
	Labels           []string        `json:"labels"`
	Volumes          []ref           `json:"volumes"`
	Network          *networkRequest `json:"network"`
}

type networkRequest struct {
	VPC               *ref              `json:"vpc"`
	Interface         *interfaceRequest `json:"interface"`
	AssociatePublicIP *bool             `json:"associate_public_ip"`
}

type interfaceRequest struct {
	ID             string `json:"id"`
	SecurityGroups []ref  `json:"security_groups"`
	Subnets        []ref  `json:"subnets"`
}

// validate checks what can be checked without looking anything up.
func (c createRequest) validate() error {
	if err := validateName(c.Name); err != nil {
		return err
	}
	if err := validateRef("machine_type", c.MachineType); err != nil {
		return err
	}
	if err := validateRef("image", c.Image); err != nil {
		return err
	}
	if err := validateUserData(c.UserData); err != nil {
		return err
	}
	if len(c.Labels) > maxLabels || slices.ContainsFunc(c.Labels, func(l string) bool { return l == "" || len(l) > maxName }) {
		return httpapi.Invalid("labels: at most %d labels of 1 to %d characters", maxLabels, maxName)
	}
	if len(c.Volumes) > maxVolumes {
		return httpapi.Invalid("volumes: List should have at most %d items", maxVolumes)
	}
	for _, volume := range c.Volumes {
		if err := validateRef("volumes", &volume); err != nil {
			return err
		}
	}
	return c.Network.validate()
}

func (n *networkRequest) validate() error {
	if n == nil {
		return nil
	}
	if n.VPC != nil {
		if err := validateRef("network.vpc", n.VPC); err != nil {
			return err
		}
	}
	if n.Interface == nil {
		return nil
	}
	if len(n.Interface.Subnets) > 1 {
		return httpapi.Invalid("network.interface.subnets: List should have at most 1 item")
	}
	for _, list := range []struct {
		field string
		refs  []ref
	}{{"security_groups", n.Interface.SecurityGroups}, {"subnets", n.Interface.Subnets}} {
		if slices.ContainsFunc(list.refs, func(r ref) bool { return r.ID == "" || len(r.ID) > maxName }) {
			return httpapi.Invalid("network.interface.%s: each needs an id of 1 to %d characters", list.field, maxName)
		}
	}
	return nil
}

func validateName(name *string) error {
	switch {
	case name == nil:
		return httpapi.Invalid("name: Field required")
	case *name == "":
		return httpapi.Invalid("name: String should have at least 1 character")
	case len([]rune(*name)) > maxName:
		return httpapi.Invalid("name: String should have at most %d characters", maxName)
	}
	return nil
}

func validateRef(field string, r *ref) error {
	switch {
	case r == nil:
		return httpapi.Invalid("%s: Field required", field)
	case r.ID == "" && r.Name == "":
		return httpapi.Invalid("%s: an id or a name is required", field)
	case len(r.ID) > maxName || len(r.Name) > maxName:
		return httpapi.Invalid("%s: String should have at most %d characters", field, maxName)
	}
	return nil
}

func validateUserData(data *string) error {
	if data == nil {
		return nil
	}
	switch _, err := base64.StdEncoding.DecodeString(*data); {
	case *data == "":
		return httpapi.Invalid("user_data: String should have at least 1 character")
	case len(*data) > maxUserData:
		return httpapi.Invalid("user_data: String should have at most %d characters", maxUserData)
	case err != nil:
		return httpapi.Invalid("user_data: must be a Base64 encoded string")
	}
	return nil
}

// resolve looks up what the request names and returns the instance to be, still without a port.
func (s *Service) resolve(ctx context.Context, tenantID string, c createRequest) (Instance, error) {
	i := Instance{TenantID: tenantID, Name: *c.Name, Labels: c.Labels, AvailabilityZone: s.Zones[0]}
	if c.AvailabilityZone != nil && *c.AvailabilityZone != "" {
		i.AvailabilityZone = *c.AvailabilityZone
	}
	if !slices.Contains(s.Zones, i.AvailabilityZone) {
		return i, badRequest("create_instance.availability_zone.not_found", "availability zone %q does not exist; there are %s",
			i.AvailabilityZone, strings.Join(s.Zones, ", "))
	}
	machineType, ok := findMachineType(s.types, *c.MachineType)
	if !ok {
		return i, badRequest("create_instance.machine_type.not_found", "the machine type does not exist")
	}
	images, err := s.Images.List(ctx)
	if err != nil {
		return i, err
	}
	image, ok := findImage(images, *c.Image)
	if !ok {
		return i, badRequest("create_instance.image.not_found", "the image does not exist")
	}
	i.MachineTypeID, i.ImageID, i.ImageName = machineType.ID, image.ID, image.Name
	if i.Hollow() && len(c.Volumes) > 0 {
		return i, badRequest("create_instance.volumes.not_supported", "volumes: an instance of type %s is hollow and takes none", machineType.Name)
	}
	if c.UserData != nil {
		i.UserData = *c.UserData
	}
	if c.SSHKeyName != nil && *c.SSHKeyName != "" {
		i.SSHKeyName = *c.SSHKeyName
		i.SSHPublicKey, err = s.SSHKeys.PublicKey(ctx, s.db, tenantID, i.SSHKeyName)
		if errors.Is(err, store.ErrNotFound) {
			return i, badRequest("create_instance.keypair.not_found", "the SSH key does not exist")
		}
	}
	return i, err
}

func badRequest(slug, format string, args ...any) *httpapi.Error {
	return &httpapi.Error{Status: http.StatusBadRequest, Slug: slug, Message: fmt.Sprintf(format, args...)}
}

// portRequest translates the request's network part. An empty one means the default VPC and a public IP.
func (c createRequest) portRequest(i Instance) PortRequest {
	req := PortRequest{Unwired: i.Hollow(), TenantID: i.TenantID, InstanceID: i.ID, Name: i.Name, AvailabilityZone: i.AvailabilityZone,
		VPCName: "vpc_default", AssociateIP: true}
	if c.Network == nil {
		return req
	}
	if c.Network.VPC != nil {
		req.VPCID, req.VPCName = c.Network.VPC.ID, c.Network.VPC.Name
	}
	if c.Network.AssociatePublicIP != nil {
		req.AssociateIP = *c.Network.AssociatePublicIP
	}
	if c.Network.Interface != nil {
		for _, group := range c.Network.Interface.SecurityGroups {
			req.SecurityGroupIDs = append(req.SecurityGroupIDs, group.ID)
		}
		for _, subnet := range c.Network.Interface.Subnets {
			req.SubnetID = subnet.ID
		}
	}
	return req
}

// existingPort is the id of the port the user brings along, if any.
func (c createRequest) existingPort() string {
	if c.Network == nil || c.Network.Interface == nil {
		return ""
	}
	return c.Network.Interface.ID
}
