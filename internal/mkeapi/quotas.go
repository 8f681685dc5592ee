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
}{
	{"clusters", "clusters", 100},
	{"node_pools_per_cluster", "node pools of one cluster", maxNodePools},
	{"nodes", "nodes of all node pools, those that autoscaling may make included", 1000},
	{"vcpus", "vCPUs of these nodes", 8000},
	{"ram_gib", "memory of these nodes, in GiB", 32000},
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
func (s *Server) used(u record.Usage) map[string]int64 {
	used := map[string]int64{"clusters": u.Clusters, "node_pools_per_cluster": u.NodePools}
	for flavor, n := range u.Nodes {
		f, _ := s.catalog.Flavor(flavor)
		used["nodes"] += n
		used["vcpus"] += n * int64(f.VCPU)
		used["ram_gib"] += n * int64(f.RAM) / 1024
	}
	return used
}

// admit refuses a change that takes more than a quota leaves, and names every such quota. What only shrinks is always let through.
func (s *Server) admit(before, after record.Usage) error {
	had, has := s.used(before), s.used(after)
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
	Name        string `json:"name" enum:"clusters,node_pools_per_cluster,nodes,vcpus,ram_gib"`
	Description string `json:"description"`
	Limit       int64  `json:"limit"`
	Used        int64  `json:"used" doc:"What is being deleted counts until it is gone; of node_pools_per_cluster, the cluster that has the most"`
}

func (s *Server) listQuotas(ctx context.Context, _ *struct{}) (*answer[results[quotaResponse]], error) {
	usage, err := s.store.GetUsage(ctx, tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	return &answer[results[quotaResponse]]{results[quotaResponse]{s.toQuotas(usage)}}, nil
}

func (s *Server) toQuotas(usage record.Usage) []quotaResponse {
	used := s.used(usage)
	list := make([]quotaResponse, len(quotas))
	for i, known := range quotas {
		list[i] = quotaResponse{known.name, known.description, s.quotas.of(usage, known.name), used[known.name]}
	}
	return list
}
