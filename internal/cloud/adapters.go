package cloud

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"path/filepath"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/metadata"
	"magalu.cloud/mke/internal/cloud/network"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/image"
)

// computeNetwork gives compute what it needs of the network service.
type computeNetwork struct {
	*network.Service
	db *store.DB
}

var _ compute.Network = computeNetwork{}

func (n computeNetwork) CreatePort(ctx context.Context, tx *sql.Tx, req compute.PortRequest) (string, error) {
	vpc, err := n.ResolveVPC(ctx, tx, req.TenantID, req.VPCID, req.VPCName)
	if err != nil {
		return "", err
	}
	port, err := n.Service.CreatePort(ctx, tx, network.PortRequest{
		TenantID: req.TenantID, VPCID: vpc.ID, SubnetID: req.SubnetID, Zone: req.AvailabilityZone, Name: req.Name,
		SecurityGroupIDs: req.SecurityGroupIDs, DeviceID: req.InstanceID, AssociatePublicIP: req.AssociateIP, Unwired: req.Unwired,
	})
	return port.ID, err
}

func (n computeNetwork) ClaimPort(ctx context.Context, tx *sql.Tx, tenantID, id, instanceID string) error {
	if _, err := n.GetPort(ctx, tenantID, id); err != nil {
		return err
	}
	return n.SetPortDevice(ctx, tx, id, instanceID)
}

func (n computeNetwork) InstancePorts(ctx context.Context, instanceID string) ([]compute.InstancePort, error) {
	ports, err := n.Service.InstancePorts(ctx, instanceID)
	var all []compute.InstancePort
	for _, port := range ports {
		all = append(all, compute.InstancePort{ID: port.ID, Leaving: port.Leaving()})
	}
	return all, err
}

func (n computeNetwork) Port(ctx context.Context, tenantID, id string) (compute.Port, error) {
	port, err := n.GetPort(ctx, tenantID, id)
	if err != nil {
		return compute.Port{}, orNotFound(err)
	}
	vpc, err := n.ResolveVPC(ctx, n.db, tenantID, port.VPCID, "")
	if err != nil {
		return compute.Port{}, orNotFound(err)
	}
	return n.describe(port, vpc)
}

func (n computeNetwork) Ports(ctx context.Context, tenantID string, instanceIDs ...string) (map[string][]compute.Port, error) {
	found, err := n.PortsOf(ctx, instanceIDs...)
	if err != nil {
		return nil, err
	}
	vpcs, all := map[string]network.VPC{}, map[string][]compute.Port{}
	for instance, ports := range found {
		for _, port := range ports {
			vpc, known := vpcs[port.VPCID]
			if !known {
				if vpc, err = n.ResolveVPC(ctx, n.db, tenantID, port.VPCID, ""); err != nil {
					return nil, err
				}
				vpcs[port.VPCID] = vpc
			}
			described, err := n.describe(port, vpc)
			if err != nil {
				return nil, err
			}
			all[instance] = append(all[instance], described)
		}
	}
	return all, nil
}

func (n computeNetwork) describe(port network.Port, vpc network.VPC) (compute.Port, error) {
	router, err := n.VPCNetns(vpc.ID)
	return compute.Port{
		ID: port.ID, Name: port.Name, VPCID: vpc.ID, VPCName: vpc.Name, SecurityGroups: port.SecurityGroupIDs, MAC: port.MAC,
		PrivateIPv4: text(port.IP), PublicIPv4: text(port.PublicIP), Nameservers: nameservers(port), Gateway: port.Gateway, Router: router,
	}, err
}

func (n computeNetwork) DeletePort(ctx context.Context, id string, deletePublicIP bool) error {
	if err := n.ReleasePublicIP(ctx, id, deletePublicIP); err != nil {
		return err
	}
	return n.Service.DeletePort(ctx, id)
}

// orNotFound makes store.ErrNotFound of a 404, which is for users.
func orNotFound(err error) error {
	var e *httpapi.Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		return store.ErrNotFound
	}
	return err
}

func text(addr netip.Addr) string {
	if !addr.IsValid() {
		return ""
	}
	return addr.String()
}

// nameservers of a port are the subnet's, else the router, which resolves names of the VPC.
func nameservers(port network.Port) []string {
	if len(port.Nameservers) == 0 {
		return []string{port.Gateway.String()}
	}
	var list []string
	for _, server := range port.Nameservers {
		list = append(list, server.String())
	}
	return list
}

// instanceAt finds whose an address in a VPC is, for the metadata service.
func instanceAt(region string, networks *network.Service, instances *compute.Service) func(context.Context, string, netip.Addr) (metadata.Instance, error) {
	return func(ctx context.Context, vpcID string, ip netip.Addr) (metadata.Instance, error) {
		port, err := networks.PortByAddress(ctx, vpcID, ip)
		if err != nil {
			return metadata.Instance{}, orNotFound(err)
		}
		i, err := instances.InstanceByPort(ctx, port.ID)
		if err != nil {
			return metadata.Instance{}, err
		}
		view := metadata.Instance{
			ID: i.ID, Name: i.Name, Hostname: i.Hostname, TenantID: i.TenantID, Region: region, AvailabilityZone: i.AvailabilityZone,
			SSHKeyName: i.SSHKeyName, SSHPublicKey: i.SSHPublicKey, MAC: port.MAC, IP: port.IP, Prefix: port.Prefix,
			Gateway: port.Gateway, Nameservers: nameservers(port),
		}
		if i.UserData != "" {
			view.UserData, err = base64.StdEncoding.DecodeString(i.UserData)
		}
		return view, err
	}
}

// localImages are the images that `mke image build` made in the data folder.
type localImages struct{ dataDir string }

// The names of images say what is in them; each has its own set of container images.
var imageStores = []struct{ prefix, store string }{
	{"cloud-mke-node-", "customer"},
	{"cloud-mke-management-", "management"},
}

// List implements compute.Images.
func (l localImages) List(context.Context) ([]compute.Image, error) {
	node, err := image.Node(l.dataDir)
	if errors.Is(err, image.ErrNone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var images []compute.Image
	for _, kind := range imageStores {
		if node.Stores[kind.store] == "" { // not built yet
			continue
		}
		name := kind.prefix + node.Version
		images = append(images, compute.Image{ID: compute.ImageID(name), Name: name, Version: node.Version,
			RootFS: node.RootFS, Store: node.Stores[kind.store]})
	}
	return images, nil
}

func (l localImages) runc() (string, error) {
	node, err := image.Node(l.dataDir)
	return node.RuncPath, err
}

func vmsDir(dataDir string) string { return filepath.Join(dataDir, "cloud", "vms") }

func hollowDir(dataDir string) string { return filepath.Join(dataDir, "cloud", "hollow") }
