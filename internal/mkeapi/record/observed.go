package record

import (
	"context"
	"errors"
	"reflect"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"magalu.cloud/mke/internal/mkeapi/db"
)

// Observe brings the record of a cluster up to what was seen of it. see edits state, message, endpoint of the cluster, state of its
// pools, and its open operations in place; only what differs is written. A cluster that is gone is left alone.
func (s *Store) Observe(ctx context.Context, id uuid.UUID, see func(c *Cluster, open []db.Operation)) error {
	return s.tx(ctx, func(q *db.Queries) error {
		row, err := q.LockCluster(ctx, id)
		if err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		}
		c := &Cluster{Cluster: row}
		if c.Pools, err = q.ListNodePools(ctx, id); err != nil {
			return err
		}
		open, err := q.ListOpenOperations(ctx, id)
		if err != nil {
			return err
		}
		before, poolsBefore, openBefore := c.Cluster, append([]db.NodePool(nil), c.Pools...), copyOperations(open)
		see(c, open)
		if !reflect.DeepEqual(before, c.Cluster) {
			if err := q.UpdateClusterObserved(ctx, db.UpdateClusterObservedParams{ID: id, State: c.State, Message: c.Message,
				EndpointHost: c.EndpointHost, EndpointPort: c.EndpointPort}); err != nil {
				return err
			}
		}
		if err := savePools(ctx, q, poolsBefore, c.Pools); err != nil {
			return err
		}
		for i := range open {
			if reflect.DeepEqual(openBefore[i], open[i]) {
				continue
			}
			if err := saveOperation(ctx, q, &open[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func savePools(ctx context.Context, q *db.Queries, before, after []db.NodePool) error {
	for i, p := range after {
		if reflect.DeepEqual(before[i], p) {
			continue
		}
		if err := q.UpdateNodePoolObserved(ctx, db.UpdateNodePoolObservedParams{ID: p.ID, State: p.State, Message: p.Message, ReadyReplicas: p.ReadyReplicas,
			LiveReplicas: p.LiveReplicas, Autoscaler: p.Autoscaler}); err != nil {
			return err
		}
	}
	return nil
}

// copyOperations copies what Observe's callers edit.
func copyOperations(ops []db.Operation) []db.Operation {
	result := slices.Clone(ops)
	for i := range result {
		// An empty list stays one: it must equal the original as long as nobody has edited that.
		result[i].Phases, result[i].Errors = slices.Clone(result[i].Phases), slices.Clone(result[i].Errors)
	}
	return result
}

// Explain tells the people who follow the open operations of a cluster what is waited for.
func (s *Store) Explain(ctx context.Context, clusterID uuid.UUID, message string) error {
	return s.tx(ctx, func(q *db.Queries) error {
		// Changes of one cluster come one after the other.
		if _, err := q.LockCluster(ctx, clusterID); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		return q.SetOpenOperationsMessage(ctx, db.SetOpenOperationsMessageParams{ClusterID: clusterID, Message: message})
	})
}
