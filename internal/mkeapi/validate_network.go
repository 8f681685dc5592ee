package mkeapi

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// Published defaults of cluster networks.
const (
	defaultPodsCIDR     = "192.168.0.0/16"
	defaultServicesCIDR = "10.96.0.0/12"
)

// private networks may be used inside of a cluster. Any other would hide the addresses that are really there from the cluster.
var private = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
}

// clusterCIDRs are the networks inside of a cluster; a zero value stands for a malformed one.
type clusterCIDRs struct{ pods, services netip.Prefix }

func checkAllowedCIDRs(l *problem.List, cidrs []string) {
	if len(cidrs) > maxAllowedCIDRs {
		l.Add("allowed_cidrs", problem.TooMany, maxAllowedCIDRs)
	}
	for i, cidr := range cidrs {
		if p, err := netip.ParsePrefix(cidr); err != nil || !p.Addr().Is4() {
			l.Add(fmt.Sprintf("allowed_cidrs[%d]", i), problem.InvalidCIDR, cidr)
		}
	}
}

func checkClusterCIDRs(l *problem.List, pods, services string) clusterCIDRs {
	c := clusterCIDRs{checkCIDR(l, "cluster_ipv4_cidr", pods), checkCIDR(l, "services_ipv4_cidr", services)}
	if b := c.pods.Bits(); c.pods.IsValid() && (b < 8 || b > 23) {
		l.Add("cluster_ipv4_cidr", problem.PodsCIDRSize, pods)
	}
	if b := c.services.Bits(); c.services.IsValid() && (b < 12 || b > 24) {
		l.Add("services_ipv4_cidr", problem.ServicesCIDRSize, services)
	}
	if c.pods.IsValid() && c.services.IsValid() && c.pods.Overlaps(c.services) {
		l.Add("services_ipv4_cidr", problem.CIDROverlap, services, "cluster_ipv4_cidr", pods)
	}
	return c
}

func checkCIDR(l *problem.List, field, cidr string) netip.Prefix {
	p, err := netip.ParsePrefix(cidr)
	if err != nil || !p.Addr().Is4() || p != p.Masked() {
		l.Add(field, problem.InvalidCIDR, cidr)
		return netip.Prefix{}
	}
	for _, n := range private {
		if n.Bits() <= p.Bits() && n.Contains(p.Addr()) {
			return p
		}
	}
	l.Add(field, problem.CIDRNotPrivate, cidr)
	return netip.Prefix{}
}

// checkOverlap compares the networks inside of the cluster with the subnets that its machines are in.
func (c clusterCIDRs) checkOverlap(l *problem.List, subnets []db.Subnet) {
	for _, sn := range subnets {
		p, err := netip.ParsePrefix(sn.CIDR)
		if err != nil {
			continue
		}
		if c.pods.IsValid() && c.pods.Overlaps(p) {
			l.Add("cluster_ipv4_cidr", problem.CIDROverlap, c.pods, "subnet "+sn.ID, sn.CIDR)
		}
		if c.services.IsValid() && c.services.Overlaps(p) {
			l.Add("services_ipv4_cidr", problem.CIDROverlap, c.services, "subnet "+sn.ID, sn.CIDR)
		}
	}
}

// checkRoom makes sure that every node can get its /24.
func (c clusterCIDRs) checkRoom(l *problem.List, field string, nodes int64) {
	if !c.pods.IsValid() || c.pods.Bits() > 24 {
		return
	}
	if room := int64(1) << (24 - c.pods.Bits()); controlPlaneReplicas+nodes > room {
		l.Add(field, problem.PodsCIDRFull, c.pods, room, controlPlaneReplicas+nodes)
	}
}

func (r *clusterRequest) podsCIDR() string { return or(r.ClusterIPv4CIDR, defaultPodsCIDR) }

func (r *clusterRequest) servicesCIDR() string { return or(r.ServicesIPv4CIDR, defaultServicesCIDR) }

// mostNodes is how large a pool may become.
func (p *nodePoolRequest) mostNodes() int64 {
	n := or(p.Replicas, 0)
	if p.AutoScale != nil {
		n = max(n, or(p.AutoScale.MaxReplicas, n))
	}
	return n
}

// resolveSubnets asks the cloud for the subnets of a request. It returns nil if something is wrong with them, and an error only if
// the cloud could not be asked.
func (s *Server) resolveSubnets(ctx context.Context, l *problem.List, field, tenant string, ids []string) (*Network, error) {
	field += ".subnet_ids"
	if len(ids) == 0 {
		l.Add(field, problem.SubnetsEmpty)
		return nil, nil
	}
	if len(ids) > len(zoneLetters) {
		l.Add(field, problem.TooMany, len(zoneLetters))
		return nil, nil
	}
	n, ok := &Network{}, true
	zones := map[string]bool{}
	for i, id := range ids {
		at := fmt.Sprintf("%s[%d]", field, i)
		if _, err := uuid.Parse(id); err != nil {
			l.Add(at, problem.InvalidSubnetID, id)
			ok = false
			continue
		}
		sn, err := s.cloud.Subnet(ctx, tenant, id)
		if err != nil {
			return nil, err
		}
		switch {
		case sn == nil:
			l.Add(at, problem.SubnetNotFound, id)
			ok = false
			continue
		case zones[sn.Zone]:
			l.Add(at, problem.SubnetsSameZone, sn.Zone)
			ok = false
		case n.VPCID != "" && n.VPCID != sn.VPCID:
			l.Add(at, problem.SubnetsOfSeveralVPCs)
			ok = false
		}
		zones[sn.Zone], n.VPCID = true, sn.VPCID
		n.Subnets = append(n.Subnets, sn.Subnet)
	}
	if !ok {
		return nil, nil
	}
	return n, nil
}

// zoneLetters are the published short names of availability zones.
var zoneLetters = []string{"a", "b", "c"}

// poolSubnets decides where the nodes of a pool go: its own subnets, else the cluster's in the wanted zones, else all of the cluster's.
func (s *Server) poolSubnets(ctx context.Context, l *problem.List, prefix, tenant string, p *nodePoolRequest, cluster *Network) ([]db.Subnet, error) {
	if p.Network != nil {
		own, err := s.resolveSubnets(ctx, l, prefix+"network", tenant, p.Network.SubnetIDs)
		if err != nil || own == nil {
			return nil, err
		}
		if own.VPCID != cluster.VPCID {
			l.Add(prefix+"network.subnet_ids", problem.SubnetsOutsideCluster)
		}
		return own.Subnets, nil
	}
	if len(p.AvailabilityZones) == 0 {
		return cluster.Subnets, nil
	}
	var chosen []db.Subnet
	for i, zone := range p.AvailabilityZones {
		found := false
		for _, sn := range cluster.Subnets {
			if catalog.ZoneLetter(sn.Zone) == catalog.ZoneLetter(zone) {
				found = true
				if !slices.Contains(chosen, sn) {
					chosen = append(chosen, sn)
				}
			}
		}
		if !found {
			l.Add(fmt.Sprintf("%savailability_zones[%d]", prefix, i), problem.InvalidZone, zone)
		}
	}
	return chosen, nil
}
