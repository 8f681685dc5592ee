package loadbalancer

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

// subnetsTTL is how long the VPC's subnets are taken for known.
const subnetsTTL = 10 * time.Minute

// network is what is asked of the network product: rarely, and only for Services that need it.
type network struct {
	balancers *balancers // paces the calls

	mu      sync.Mutex
	at      time.Time
	subnets []mgc.Subnet
}

// vpc is where the cluster's API load balancer is.
func (m *Manager) vpc(ctx context.Context) (string, error) {
	all, err := m.balancers.since(ctx, time.Now().Add(-listTTL))
	if err != nil {
		return "", err
	}
	for _, lb := range all {
		if lb.Name == "mke-"+m.clusterID+"-api" {
			return lb.VPCID, nil
		}
	}
	return "", &waiting{"the cluster's network is not known yet"}
}

// ownSubnets are those that the nodes are in. Their machines can use the node ports anyway; letting them through the load balancer
// too spares people to list the cluster's own ranges in every Service.
func (m *Manager) ownSubnets(ctx context.Context, nodes []*corev1.Node) ([]string, error) {
	vpcID, err := m.vpc(ctx)
	if err != nil {
		return nil, err
	}
	subnets, err := m.network.subnetsOf(ctx, vpcID)
	if err != nil {
		return nil, err
	}
	var cidrs []string
	for _, subnet := range subnets {
		prefix, err := netip.ParsePrefix(subnet.CIDRBlock)
		if err == nil && slices.ContainsFunc(nodes, func(n *corev1.Node) bool { return inside(prefix, n) }) {
			cidrs = append(cidrs, prefix.Masked().String())
		}
	}
	return cidrs, nil
}

func inside(prefix netip.Prefix, node *corev1.Node) bool {
	return slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool {
		ip, err := netip.ParseAddr(a.Address)
		return err == nil && a.Type == corev1.NodeInternalIP && prefix.Contains(ip)
	})
}

func (n *network) subnetsOf(ctx context.Context, vpcID string) ([]mgc.Subnet, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.subnets != nil && time.Since(n.at) < subnetsTTL {
		return n.subnets, nil
	}
	err := n.balancers.call(ctx, "list_subnets", func(c *mgc.Client) error {
		subnets, err := c.Network.ListSubnets(ctx, vpcID)
		if err == nil {
			n.subnets, n.at = subnets, time.Now()
		}
		return err
	})
	return n.subnets, err
}

// publicIP returns the id of a free public IP of the tenant by its address, "" for the wish for a new one.
func (n *network) publicIP(ctx context.Context, ip string) (id string, err error) {
	if ip == "" {
		return "", nil
	}
	var all []mgc.PublicIP
	err = n.balancers.call(ctx, "list_public_ips", func(c *mgc.Client) (err error) {
		all, err = c.Network.ListPublicIPs(ctx)
		return err
	})
	if err != nil {
		return "", err
	}
	for _, known := range all {
		if known.PublicIP != ip {
			continue
		}
		if known.PortID != "" {
			return "", refuse("spec.loadBalancerIP: public IP %s is in use by a network port", ip)
		}
		return known.ID, nil
	}
	return "", refuse("spec.loadBalancerIP: the tenant has no public IP %s; leave the field empty to get a new one", ip)
}
