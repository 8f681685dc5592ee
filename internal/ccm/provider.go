// Package ccm is MCCM, Magalu Cloud's cloud controller manager: one per customer cluster, in the management cluster. It tells the
// cluster about its Nodes' VMs and removes Nodes whose VM is gone.
package ccm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	cloudprovider "k8s.io/cloud-provider"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
)

const (
	providerName = "magalu"
	scheme       = providerName + "://"
)

// Provider implements cloudprovider.Interface for the Nodes of one cluster.
type Provider struct {
	instances *instances
}

var (
	_ cloudprovider.Interface   = (*Provider)(nil)
	_ cloudprovider.InstancesV2 = (*Provider)(nil)
)

// InstanceExists is false only if the cloud itself says that there is no such VM; if it cannot tell, there is an error.
func (p *Provider) InstanceExists(ctx context.Context, node *corev1.Node) (bool, error) {
	_, err := p.instance(ctx, node, p.instances.now().Add(-missTTL))
	if errors.Is(err, cloudprovider.InstanceNotFound) {
		return false, nil
	}
	return err == nil, err
}

// InstanceShutdown is true for VMs that exist but do not run.
func (p *Provider) InstanceShutdown(ctx context.Context, node *corev1.Node) (bool, error) {
	i, err := p.instance(ctx, node, p.instances.now().Add(-missTTL))
	if err != nil {
		return false, err
	}
	state := judge(i)
	return state == vmStopped || state == vmSuspended, nil
}

// InstanceMetadata returns what the Node's spec, addresses and labels say about its VM.
func (p *Provider) InstanceMetadata(ctx context.Context, node *corev1.Node) (*cloudprovider.InstanceMetadata, error) {
	i, err := p.instance(ctx, node, p.instances.now().Add(-listTTL))
	if err != nil {
		return nil, err
	}
	address := i.PrivateIPv4()
	if address == "" {
		return nil, fmt.Errorf("VM %s has no address yet", i.ID)
	}
	return &cloudprovider.InstanceMetadata{
		ProviderID:   scheme + i.AvailabilityZone + "/" + i.ID,
		InstanceType: i.MachineType.Name,
		NodeAddresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: address},
			{Type: corev1.NodeHostName, Address: i.Name},
		},
		Zone:             i.AvailabilityZone,
		Region:           region(i.AvailabilityZone),
		AdditionalLabels: map[string]string{mkev1.FlavorLabel: i.MachineType.Name},
	}, nil
}

// instance finds a Node's VM, as it was after asOf, by its provider id, else by its name.
func (p *Provider) instance(ctx context.Context, node *corev1.Node, asOf time.Time) (*mgc.Instance, error) {
	if node.Spec.ProviderID == "" {
		return p.instances.byName(ctx, node.Name, asOf)
	}
	id, err := instanceID(node.Spec.ProviderID)
	if err != nil {
		return nil, err
	}
	return p.instances.byID(ctx, id, asOf)
}

// instanceID takes magalu://<zone>/<id> apart.
func instanceID(providerID string) (string, error) {
	rest, ok := strings.CutPrefix(providerID, scheme)
	_, id, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || id == "" {
		return "", fmt.Errorf("provider id %q is not of the form %s<zone>/<id>", providerID, scheme)
	}
	return id, nil
}

// region of a zone: br-se1 of br-se1-a.
func region(zone string) string {
	if n := strings.LastIndex(zone, "-"); n > 0 {
		return zone[:n]
	}
	return zone
}

// Initialize does nothing: the provider needs nothing from the cluster.
func (p *Provider) Initialize(cloudprovider.ControllerClientBuilder, <-chan struct{}) {}

// InstancesV2 is implemented by the provider itself.
func (p *Provider) InstancesV2() (cloudprovider.InstancesV2, bool) { return p, true }

// ProviderName is the scheme of provider ids.
func (p *Provider) ProviderName() string { return providerName }

// HasClusterID is true: the provider does not start without one.
func (p *Provider) HasClusterID() bool { return true }

// LoadBalancer is not supported.
func (p *Provider) LoadBalancer() (cloudprovider.LoadBalancer, bool) { return nil, false }

// Instances is not supported, InstancesV2 is.
func (p *Provider) Instances() (cloudprovider.Instances, bool) { return nil, false }

// Zones is not supported, InstancesV2 is.
func (p *Provider) Zones() (cloudprovider.Zones, bool) { return nil, false }

// Clusters is not supported.
func (p *Provider) Clusters() (cloudprovider.Clusters, bool) { return nil, false }

// Routes is not supported: pod traffic is VXLAN.
func (p *Provider) Routes() (cloudprovider.Routes, bool) { return nil, false }
