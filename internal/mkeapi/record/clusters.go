package record

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// CreateCluster records a new cluster with its node pools, if admit lets it. If the name is taken it returns cluster_already_exists,
// or the cluster that an identical request made a moment ago if the answer to that one was lost.
func (s *Store) CreateCluster(ctx context.Context, c *Cluster, admit Admit) (*Cluster, error) {
	c.State, c.Message = StatePending, "waiting to be provisioned"
	for {
		err := s.tx(ctx, func(q *db.Queries) error {
			return admitted(ctx, q, c.TenantID, c.ID, admit, func() error { return insertCluster(ctx, q, c) })
		})
		switch {
		case isDuplicateOf(err, shortIDIndex):
			c.renew()
		case isDuplicate(err):
			return s.replayedCluster(ctx, c)
		default:
			return c, err
		}
	}
}

// shortIDIndex keeps the first 8 characters of clusters' ids apart, by which volumes are known.
const shortIDIndex = "clusters_short_id"

// renew gives another id to a cluster that is not recorded yet.
func (c *Cluster) renew() {
	c.ID = uuid.New()
	for i := range c.Pools {
		c.Pools[i].ClusterID = c.ID
	}
}

func insertCluster(ctx context.Context, q *db.Queries, c *Cluster) error {
	err := q.InsertCluster(ctx, db.InsertClusterParams{
		ID: c.ID, TenantID: c.TenantID, Name: c.Name, Description: c.Description, Region: c.Region, Version: c.Version,
		AllowedCidrs: c.AllowedCidrs, PodsCidr: c.PodsCidr, ServicesCidr: c.ServicesCidr, VpcID: c.VpcID, Subnets: c.Subnets,
		ControlPlaneFlavor: c.ControlPlaneFlavor, ControlPlaneReplicas: c.ControlPlaneReplicas,
		State: c.State, Message: c.Message, RequestHash: c.RequestHash, CreatedAt: c.CreatedAt, Cni: c.Cni,
		DeletionProtection: c.DeletionProtection,
	})
	if err != nil {
		return err
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		p.State, p.Message = StatePending, "waiting for the cluster"
		if err := insertNodePool(ctx, q, p); err != nil {
			return err
		}
	}
	if err := startOperation(ctx, q, CreateCluster, &c.Cluster, nil, len(c.Pools) > 0); err != nil {
		return err
	}
	return enqueue(ctx, q, c.ID)
}

func (s *Store) replayedCluster(ctx context.Context, c *Cluster) (*Cluster, error) {
	existing, err := s.q.GetClusterByName(ctx, db.GetClusterByNameParams{TenantID: c.TenantID, Name: c.Name})
	switch {
	case errors.Is(err, pgx.ErrNoRows): // deleted between the two looks: free again, the client may repeat
		return nil, problem.New(problem.Unavailable)
	case err != nil:
		return nil, err
	case s.dryRun || existing.State == StateDeleting || !isReplay(c.RequestHash, existing.RequestHash, existing.Answered, existing.CreatedAt):
		return nil, &problem.Error{Problems: []problem.Problem{{Kind: problem.ClusterExists, Field: "name", Args: []any{c.Name}}}}
	}
	return s.GetCluster(ctx, c.TenantID, existing.ID)
}

// PatchCluster changes the desired state of a cluster. change edits description, deletion protection, version and allowed CIDRs in
// place and may refuse.
func (s *Store) PatchCluster(ctx context.Context, tenant string, id uuid.UUID, change func(*db.Cluster) error) (*db.Cluster, error) {
	var c db.Cluster
	err := s.tx(ctx, func(q *db.Queries) (err error) {
		if c, err = lockTenantCluster(ctx, q, tenant, id); err != nil {
			return err
		}
		before := c
		if err := change(&c); err != nil {
			return err
		}
		if sameDesired(&before, &c) {
			if before.Description == c.Description && before.DeletionProtection == c.DeletionProtection {
				return nil
			}
			return updateCluster(ctx, q, &c)
		}
		if err := reviseCluster(ctx, q, &c); err != nil {
			return err
		}
		return enqueue(ctx, q, id)
	})
	return &c, err
}

// reviseCluster saves another desired state of a cluster, which is to be applied.
func reviseCluster(ctx context.Context, q *db.Queries, c *db.Cluster) error {
	c.Revision++
	if c.State == StateRunning {
		c.State, c.Message = StateProvisioning, "waiting for the change to be applied"
		if err := startOperation(ctx, q, UpdateCluster, c, nil, false); err != nil {
			return err
		}
	}
	return updateCluster(ctx, q, c)
}

// growControlPlane replaces a control plane that is too small for as many nodes as the cluster's pools may have by now.
func growControlPlane(ctx context.Context, q *db.Queries, c *db.Cluster) error {
	pools, err := q.ListNodePools(ctx, c.ID)
	if err != nil {
		return err
	}
	grown := catalog.GrownControlPlane(c.ControlPlaneFlavor, db.MostNodes(pools))
	if grown == c.ControlPlaneFlavor {
		return nil
	}
	c.ControlPlaneFlavor = grown
	return reviseCluster(ctx, q, c)
}

func updateCluster(ctx context.Context, q *db.Queries, c *db.Cluster) error {
	return q.UpdateClusterDesired(ctx, db.UpdateClusterDesiredParams{ID: c.ID, Description: c.Description, Version: c.Version,
		AllowedCidrs: c.AllowedCidrs, Revision: c.Revision, State: c.State, Message: c.Message, DeletionProtection: c.DeletionProtection,
		ControlPlaneFlavor: c.ControlPlaneFlavor})
}

func sameDesired(a, b *db.Cluster) bool {
	if a.Version != b.Version || len(a.AllowedCidrs) != len(b.AllowedCidrs) {
		return false
	}
	for i := range a.AllowedCidrs {
		if a.AllowedCidrs[i] != b.AllowedCidrs[i] {
			return false
		}
	}
	return true
}

// lockTenantCluster serialises changes of one cluster; it refuses clusters that are being deleted.
func lockTenantCluster(ctx context.Context, q *db.Queries, tenant string, id uuid.UUID) (db.Cluster, error) {
	c, err := q.LockTenantCluster(ctx, db.LockTenantClusterParams{ID: id, TenantID: tenant})
	if err != nil {
		return c, notFound(err, problem.ClusterNotFound)
	}
	if c.State == StateDeleting {
		return c, problem.New(problem.ClusterDeleting)
	}
	return c, nil
}

// PatchAddons changes what the customer decided about addons. change edits the choices in place and may refuse.
func (s *Store) PatchAddons(ctx context.Context, tenant string, id uuid.UUID, change func(*db.Cluster) error) (*db.Cluster, error) {
	var c db.Cluster
	err := s.tx(ctx, func(q *db.Queries) (err error) {
		if c, err = lockTenantCluster(ctx, q, tenant, id); err != nil {
			return err
		}
		if err := change(&c); err != nil {
			return err
		}
		if err := q.UpdateClusterAddons(ctx, db.UpdateClusterAddonsParams{ID: id, Addons: c.Addons}); err != nil {
			return err
		}
		return enqueue(ctx, q, id)
	})
	return &c, err
}

// DeleteCluster starts the deletion of a cluster and of all it contains, with or without the volumes that it made;
// cluster_deleting if that has begun already, deletion_protected if somebody has forbidden it.
func (s *Store) DeleteCluster(ctx context.Context, tenant string, id uuid.UUID, deleteVolumes bool) error {
	return s.tx(ctx, func(q *db.Queries) error {
		c, err := lockTenantCluster(ctx, q, tenant, id)
		if err != nil {
			return err
		}
		if c.DeletionProtection {
			return problem.New(problem.DeletionProtected)
		}
		if err := q.CancelOperations(ctx, db.CancelOperationsParams{ClusterID: id, Message: "the cluster was deleted"}); err != nil {
			return err
		}
		if err := q.MarkClusterDeleting(ctx, db.MarkClusterDeletingParams{ID: id, Message: "waiting to be removed", DeleteVolumes: deleteVolumes}); err != nil {
			return err
		}
		if err := startOperation(ctx, q, DeleteCluster, &c, nil, false); err != nil {
			return err
		}
		return enqueue(ctx, q, id)
	})
}

// ClusterGone records that nothing of a cluster is left.
func (s *Store) ClusterGone(ctx context.Context, id uuid.UUID) error {
	return s.tx(ctx, func(q *db.Queries) error {
		if _, err := q.LockCluster(ctx, id); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return nil // known already
			}
			return err
		}
		if err := finishOpenOperations(ctx, q, id, nil); err != nil {
			return err
		}
		if err := q.MarkNodePoolsDeleted(ctx, id); err != nil {
			return err
		}
		return q.MarkClusterDeleted(ctx, id)
	})
}
