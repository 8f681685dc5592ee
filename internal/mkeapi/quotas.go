package mkeapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// quotas in the order in which they are shown. Control planes do not count.
var quotas = []struct {
	name, description string
	standard          int64
	inCloud           bool // only the cloud knows how much there is
}{
	{name: "clusters", description: "clusters", standard: 100},
	{name: "node_pools_per_cluster", description: "node pools of one cluster", standard: maxNodePools},
	{name: "nodes", description: "nodes of all node pools, those that autoscaling may make included", standard: 1000},
	{name: "vcpus", description: "vCPUs of these nodes", standard: 8000},
	{name: "ram_gib", description: "memory of these nodes, in GiB", standard: 32000},
	{name: "disk_gib", description: "disks of these nodes, in GiB", standard: 150_000},
	{name: "load_balancers", description: "load balancers, the API server's of each cluster included", standard: 200, inCloud: true},
	{name: "public_ips", description: "public IPs, those of these load balancers included", standard: 200, inCloud: true},
	{name: "volumes", description: "volumes, without the disks of nodes", standard: 2000, inCloud: true},
	{name: "volume_gib", description: "size of these volumes, in GiB", standard: 100_000, inCloud: true},
}

// Quotas are the limits of tenants that have none of their own, by name.
type Quotas map[string]int64

// NewQuotas returns the standard limits with the given ones in their place.
func NewQuotas(changed map[string]int64) (Quotas, error) {
	q := Quotas{}
	for _, known := range quotas {
		q[known.name] = known.standard
	}
	for name, limit := range changed {
		if _, known := q[name]; !known {
			return nil, fmt.Errorf("there is no quota %q; there are: %s", name, strings.Join(slices.Sorted(maps.Keys(q)), ", "))
		}
		if limit < 0 {
			return nil, fmt.Errorf("the limit of quota %s must be 0 or more, not %d", name, limit)
		}
		q[name] = limit
	}
	return q, nil
}

// of is the limit of a tenant.
func (q Quotas) of(tenant record.Usage, name string) int64 {
	if own, has := tenant.Limits[name]; has {
		return own
	}
	return q[name]
}

// used says how much of each quota is used. A flavor that is no longer sold counts as a node only.
func (s *Server) used(u record.Usage, stock *Stock) map[string]int64 {
	used := map[string]int64{"clusters": u.Clusters, "node_pools_per_cluster": u.NodePools}
	for flavor, n := range u.Nodes {
		f, _ := s.catalog.Flavor(flavor)
		used["nodes"] += n
		used["vcpus"] += n * int64(f.VCPU)
		used["ram_gib"] += n * int64(f.RAM) / 1024
		used["disk_gib"] += n * int64(f.Disk)
	}
	if stock != nil {
		apis := max(u.Clusters, stock.APIs) // of a new cluster it is still to be made
		used["load_balancers"], used["public_ips"] = stock.LoadBalancers+apis, stock.PublicIPs+apis
		used["volumes"], used["volume_gib"] = stock.Volumes, stock.VolumeGiB
	}
	return used
}

// admit refuses a change that takes more than a quota leaves, and names every such quota. What only shrinks is always let through.
// Without stock the change makes nothing in the cloud that has a quota.
func (s *Server) admit(before, after record.Usage, stock *Stock) error {
	had, has := s.used(before, stock), s.used(after, stock)
	var problems []problem.Problem
	for _, known := range quotas {
		short := problem.Quota{Name: known.name, Limit: s.quotas.of(after, known.name), Used: had[known.name], Wanted: has[known.name] - had[known.name]}
		if short.Wanted > 0 && has[known.name] > short.Limit {
			problems = append(problems, problem.Problem{Kind: problem.QuotaExceeded, Quota: &short,
				Args: []any{short.Name, short.Wanted, short.Used, short.Limit}})
		}
	}
	if problems == nil {
		return nil
	}
	return &problem.Error{Problems: problems}
}

// quotaResponse is one quota of the tenant. It is not part of the published contract.
type quotaResponse struct {
	Name        string `json:"name" enum:"clusters,node_pools_per_cluster,nodes,vcpus,ram_gib,disk_gib,load_balancers,public_ips,volumes,volume_gib"`
	Description string `json:"description"`
	Limit       int64  `json:"limit"`
	Used        int64  `json:"used" doc:"What is being deleted counts until it is gone; of node_pools_per_cluster, the cluster that has the most"`
}

func (s *Server) listQuotas(ctx context.Context, _ *struct{}) (*answer[results[quotaResponse]], error) {
	usage, err := s.store.GetUsage(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	stock, err := s.stock(ctx)
	if err != nil {
		return nil, err
	}
	return &answer[results[quotaResponse]]{results[quotaResponse]{s.toQuotas(usage, stock)}}, nil
}

func (s *Server) toQuotas(usage record.Usage, stock *Stock) []quotaResponse {
	used := s.used(usage, stock)
	list := make([]quotaResponse, 0, len(quotas))
	for _, known := range quotas {
		if stock != nil || !known.inCloud {
			list = append(list, quotaResponse{known.name, known.description, s.quotas.of(usage, known.name), used[known.name]})
		}
	}
	return list
}
