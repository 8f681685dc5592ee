package record

import (
	"context"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mkeapi/db"
)

// Usage is what a tenant has. What is being deleted counts until it is gone.
type Usage struct {
	Clusters int64
	// NodePools of the cluster that is meant, or of the one that has the most.
	NodePools int64
	// Nodes that all node pools may grow to, by flavor.
	Nodes map[string]int64
	// Limits of this tenant that replace the configured ones, by quota.
	Limits map[string]int64
}

// Admit decides whether a tenant may have what a change leads to. It is asked in the change's own transaction.
type Admit func(before, after Usage) error

// GetUsage returns what a tenant has now.
func (s *Store) GetUsage(ctx context.Context, tenant string) (Usage, error) {
	return usage(ctx, s.q, tenant, nil)
}

// admitted makes a change of what a tenant has, if admit lets it. Changes of one tenant come one after the other, so that two of them
// cannot both take what is left.
func admitted(ctx context.Context, q *db.Queries, tenant string, clusterID uuid.UUID, admit Admit, change func() error) error {
	if admit == nil {
		return change()
	}
	if err := q.LockTenant(ctx, tenant); err != nil {
		return err
	}
	before, err := usage(ctx, q, tenant, &clusterID)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := usage(ctx, q, tenant, &clusterID)
	if err != nil {
		return err
	}
	return admit(before, after)
}

func usage(ctx context.Context, q *db.Queries, tenant string, clusterID *uuid.UUID) (u Usage, err error) {
	if u.Clusters, err = q.CountTenantClusters(ctx, tenant); err != nil {
		return u, err
	}
	if u.NodePools, err = q.LargestNodePoolCount(ctx, db.LargestNodePoolCountParams{TenantID: tenant, ClusterID: clusterID}); err != nil {
		return u, err
	}
	nodes, err := q.SumTenantNodes(ctx, tenant)
	if err != nil {
		return u, err
	}
	u.Nodes = make(map[string]int64, len(nodes))
	for _, n := range nodes {
		u.Nodes[n.Flavor] = n.Nodes
	}
	limits, err := q.ListTenantQuotas(ctx, tenant)
	u.Limits = make(map[string]int64, len(limits))
	for _, l := range limits {
		u.Limits[l.Name] = l.Maximum
	}
	return u, err
}

// UsageWithout returns what a tenant will have when a cluster, or only one of its node pools, is gone.
func (s *Store) UsageWithout(ctx context.Context, tenant string, clusterID uuid.UUID, poolID *uuid.UUID) (u Usage, err error) {
	err = s.DryRun().tx(ctx, func(q *db.Queries) (err error) {
		if poolID != nil {
			err = q.MarkNodePoolDeleted(ctx, *poolID)
		} else {
			err = q.MarkClusterDeleted(ctx, clusterID)
		}
		if err == nil {
			u, err = usage(ctx, q, tenant, nil)
		}
		return err
	})
	return u, err
}
