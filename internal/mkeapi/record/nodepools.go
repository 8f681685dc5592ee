package record

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

func insertNodePool(ctx context.Context, q *db.Queries, p *db.NodePool) error {
	return q.InsertNodePool(ctx, db.InsertNodePoolParams{
		ID: p.ID, ClusterID: p.ClusterID, Name: p.Name, Flavor: p.Flavor, Version: p.Version, InitialReplicas: p.InitialReplicas,
		Replicas: p.Replicas, MinReplicas: p.MinReplicas, MaxReplicas: p.MaxReplicas, MaxPods: p.MaxPods, Labels: p.Labels,
		Taints: p.Taints, Tags: p.Tags, Subnets: p.Subnets, State: p.State, Message: p.Message, RequestHash: p.RequestHash,
		CreatedAt: p.CreatedAt,
	})
}

// GetNodePool returns a node pool of a tenant's cluster with that cluster, or one of the not_found problems.
func (s *Store) GetNodePool(ctx context.Context, tenant string, clusterID, id uuid.UUID) (*db.Cluster, *db.NodePool, error) {
	c, err := s.q.GetCluster(ctx, db.GetClusterParams{ID: clusterID, TenantID: tenant})
	if err != nil {
		return nil, nil, notFound(err, problem.ClusterNotFound)
	}
	p, err := s.q.GetNodePool(ctx, db.GetNodePoolParams{ID: id, ClusterID: clusterID})
	return &c, &p, notFound(err, problem.NodePoolNotFound)
}

// ListNodePools returns a page of the node pools of a tenant's cluster, oldest first.
func (s *Store) ListNodePools(ctx context.Context, tenant string, clusterID uuid.UUID, limit, offset int) ([]db.NodePool, error) {
	if _, err := s.q.GetCluster(ctx, db.GetClusterParams{ID: clusterID, TenantID: tenant}); err != nil {
		return nil, notFound(err, problem.ClusterNotFound)
	}
	return s.q.PageNodePools(ctx, db.PageNodePoolsParams{ClusterID: clusterID, Limit: int32(limit), Offset: int32(offset)})
}

// CreateNodePool records a new node pool, if admit lets it, also while the cluster is still provisioning. A taken name is handled as
// for clusters.
func (s *Store) CreateNodePool(ctx context.Context, tenant string, p *db.NodePool, admit Admit) (*db.NodePool, error) {
	p.State, p.Message = StatePending, "waiting to be provisioned"
	err := s.tx(ctx, func(q *db.Queries) error {
		return admitted(ctx, q, tenant, p.ClusterID, admit, func() error { return addNodePool(ctx, q, tenant, p) })
	})
	if isDuplicate(err) {
		return s.replayedNodePool(ctx, p)
	}
	return p, err
}

func addNodePool(ctx context.Context, q *db.Queries, tenant string, p *db.NodePool) error {
	c, err := lockTenantCluster(ctx, q, tenant, p.ClusterID)
	if err != nil {
		return err
	}
	if err := insertNodePool(ctx, q, p); err != nil {
		return err
	}
	if err := startOperation(ctx, q, CreateNodePool, &c, &p.ID, false); err != nil {
		return err
	}
	if err := growControlPlane(ctx, q, &c); err != nil {
		return err
	}
	return enqueue(ctx, q, c.ID)
}

func (s *Store) replayedNodePool(ctx context.Context, p *db.NodePool) (*db.NodePool, error) {
	existing, err := s.q.GetNodePoolByName(ctx, db.GetNodePoolByNameParams{ClusterID: p.ClusterID, Name: p.Name})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, problem.New(problem.Unavailable)
	case err != nil:
		return nil, err
	case s.dryRun || existing.State == StateDeleting || !isReplay(p.RequestHash, existing.RequestHash, existing.Answered, existing.CreatedAt):
		return nil, &problem.Error{Problems: []problem.Problem{{Kind: problem.NodePoolExists, Field: "name", Args: []any{p.Name}}}}
	}
	return &existing, nil
}

// PatchNodePool changes the desired state of a node pool, if admit lets it. change edits it in place, given the cluster, and may refuse.
func (s *Store) PatchNodePool(ctx context.Context, tenant string, clusterID, id uuid.UUID, admit Admit, change func(*db.Cluster, *db.NodePool) error) (*db.Cluster, *db.NodePool, error) {
	var c db.Cluster
	var p db.NodePool
	err := s.tx(ctx, func(q *db.Queries) error {
		return admitted(ctx, q, tenant, clusterID, admit, func() (err error) {
			c, p, err = patchNodePool(ctx, q, tenant, clusterID, id, change)
			return err
		})
	})
	return &c, &p, err
}

func patchNodePool(ctx context.Context, q *db.Queries, tenant string, clusterID, id uuid.UUID, change func(*db.Cluster, *db.NodePool) error) (c db.Cluster, p db.NodePool, err error) {
	if c, err = lockTenantCluster(ctx, q, tenant, clusterID); err != nil {
		return c, p, err
	}
	if p, err = q.GetNodePool(ctx, db.GetNodePoolParams{ID: id, ClusterID: clusterID}); err != nil {
		return c, p, notFound(err, problem.NodePoolNotFound)
	}
	if p.State == StateDeleting {
		return c, p, problem.New(problem.NodePoolDeleting)
	}
	before := p
	if err := change(&c, &p); err != nil || samePool(&before, &p) {
		return c, p, err
	}
	err = savePatchedPool(ctx, q, &c, &before, &p) // which also sets p's state
	return c, p, err
}

func savePatchedPool(ctx context.Context, q *db.Queries, c *db.Cluster, before, p *db.NodePool) error {
	p.Revision++
	if p.State != StatePending {
		p.State, p.Message = StateScalingUp, "waiting for the change to be applied"
		if p.Nodes() < before.Nodes() {
			p.State = StateScalingDown
		}
	}
	err := q.UpdateNodePoolDesired(ctx, db.UpdateNodePoolDesiredParams{ID: p.ID, Flavor: p.Flavor, Version: p.Version,
		Replicas: p.Replicas, MinReplicas: p.MinReplicas, MaxReplicas: p.MaxReplicas, Revision: p.Revision, State: p.State, Message: p.Message,
		LiveReplicas: p.LiveReplicas, ReplicasRevision: p.ReplicasRevision})
	if err != nil {
		return err
	}
	if err := startOperation(ctx, q, UpdateNodePool, c, &p.ID, false); err != nil {
		return err
	}
	if err := growControlPlane(ctx, q, c); err != nil {
		return err
	}
	return enqueue(ctx, q, c.ID)
}

func samePool(a, b *db.NodePool) bool {
	same := func(x, y *int32) bool { return (x == nil) == (y == nil) && (x == nil || *x == *y) }
	return a.Flavor == b.Flavor && a.Version == b.Version && a.Nodes() == b.Nodes() &&
		same(a.MinReplicas, b.MinReplicas) && same(a.MaxReplicas, b.MaxReplicas)
}

// DeleteNodePool starts the deletion of a node pool. Repeating it is no error.
func (s *Store) DeleteNodePool(ctx context.Context, tenant string, clusterID, id uuid.UUID) error {
	return s.tx(ctx, func(q *db.Queries) error {
		c, err := lockTenantCluster(ctx, q, tenant, clusterID)
		if err != nil {
			return err
		}
		p, err := q.GetNodePool(ctx, db.GetNodePoolParams{ID: id, ClusterID: clusterID})
		if err != nil {
			return notFound(err, problem.NodePoolNotFound)
		}
		if p.State == StateDeleting {
			return nil
		}
		if err := q.MarkNodePoolDeleting(ctx, db.MarkNodePoolDeletingParams{ID: id, Message: "waiting to be removed"}); err != nil {
			return err
		}
		if err := startOperation(ctx, q, DeleteNodePool, &c, &id, false); err != nil {
			return err
		}
		return enqueue(ctx, q, c.ID)
	})
}

// NodePoolGone records that nothing of a node pool is left.
func (s *Store) NodePoolGone(ctx context.Context, clusterID, id uuid.UUID) error {
	return s.tx(ctx, func(q *db.Queries) error {
		if _, err := q.LockCluster(ctx, clusterID); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		}
		if err := finishOpenOperations(ctx, q, clusterID, &id); err != nil {
			return err
		}
		return q.MarkNodePoolDeleted(ctx, id)
	})
}
