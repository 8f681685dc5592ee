package record

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"magalu.cloud/mke/internal/mkeapi/db"
)

// ChangesChannel is where the ids of clusters are told of which something has changed.
const ChangesChannel = "mke_changes"

// Changes is what has changed of a cluster, deleted or not.
type Changes struct {
	Cluster    db.Cluster
	NodePools  []db.NodePool
	Operations []db.Operation
	Open       []db.Operation // all that are under way
	Retries    Retries
}

// Changes returns what has changed of a cluster after a change of that number; after 0, what is there and under way.
func (s *Store) Changes(ctx context.Context, clusterID uuid.UUID, after int64) (c Changes, err error) {
	// One snapshot: a later number must not be seen before a smaller one.
	snapshot := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err = pgx.BeginTxFunc(ctx, s.pool, snapshot, func(tx pgx.Tx) (err error) {
		q := s.q.WithTx(tx)
		if c.Cluster, err = q.LoadCluster(ctx, clusterID); err != nil {
			return err
		}
		if c.NodePools, err = q.ListChangedNodePools(ctx, db.ListChangedNodePoolsParams{ClusterID: clusterID, After: after}); err != nil {
			return err
		}
		if c.Operations, err = q.ListChangedOperations(ctx, db.ListChangedOperationsParams{ClusterID: clusterID, After: after}); err != nil {
			return err
		}
		if c.Open, err = q.ListOpenOperations(ctx, clusterID); err != nil {
			return err
		}
		c.Retries, err = retries(ctx, q, c.Open)
		return err
	})
	return c, err
}

// Retries says when what has failed to reach the management cluster is tried again, by cluster.
type Retries map[uuid.UUID]time.Time

// Of is when something is done again for an operation, nil if nothing is waiting.
func (r Retries) Of(op *db.Operation) *time.Time {
	if at, waits := r[op.ClusterID]; waits && op.FinishedAt == nil {
		at = at.UTC()
		return &at
	}
	return nil
}

// Retries looks for what is waiting of the clusters of operations.
func (s *Store) Retries(ctx context.Context, ops []db.Operation) (Retries, error) {
	return retries(ctx, s.q, ops)
}

func retries(ctx context.Context, q *db.Queries, ops []db.Operation) (Retries, error) {
	var ids []uuid.UUID
	for i := range ops {
		if ops[i].FinishedAt == nil {
			ids = append(ids, ops[i].ClusterID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := q.ListRetries(ctx, ids)
	r := make(Retries, len(rows))
	for _, row := range rows {
		r[row.ClusterID] = row.DueAt
	}
	return r, err
}

// Listen calls ready when it has begun to listen to a channel of the database, and notify with all that is told there, until ctx ends or
// the connection fails.
func (s *Store) Listen(ctx context.Context, channel string, ready func(), notify func(payload string)) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection that listens must not go back into the pool.
	raw := conn.Hijack()
	defer raw.Close(context.WithoutCancel(ctx))
	if _, err := raw.Exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return err
	}
	ready() // something may have been told before
	for {
		n, err := waitForNotification(ctx, raw)
		if err != nil {
			return err
		}
		if n != nil {
			notify(n.Payload)
		}
	}
}

// silence is how long a connection may be silent before it is asked whether there is anybody at its other end.
const silence = 10 * time.Second

// waitForNotification returns nil if none has come for a while.
func waitForNotification(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	quiet, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	n, err := conn.WaitForNotification(quiet)
	if err != nil && ctx.Err() == nil && quiet.Err() != nil {
		return nil, conn.Ping(ctx)
	}
	return n, err
}

// stallAfter is how long an operation may go without getting any further. The slowest step that goes well, a machine's start under
// emulation, takes less than half of it.
const stallAfter = 5 * time.Minute

// OperationStalled is the state that is shown of a running operation that does not get any further.
const OperationStalled = "Stalled"

// Stalled says whether an operation under way has not got any further for too long.
func Stalled(op *db.Operation, now time.Time) bool {
	return op.State == OperationRunning && op.FinishedAt == nil && now.Sub(op.MovedAt) > stallAfter
}

// OperationFilter chooses operations of a tenant; what is nil does not matter.
type OperationFilter struct {
	ClusterID *uuid.UUID
	Kind      *string
	State     *string // Stalled is a state of its own
}

// FindOperations returns a page of a tenant's operations, newest first, also of clusters that are gone.
func (s *Store) FindOperations(ctx context.Context, tenant string, f OperationFilter, limit, offset int) ([]db.Operation, error) {
	if f == (OperationFilter{}) {
		return s.q.ListTenantOperations(ctx, db.ListTenantOperationsParams{TenantID: tenant, Limit: int32(limit), Offset: int32(offset)})
	}
	return s.q.FindOperations(ctx, db.FindOperationsParams{TenantID: tenant, ClusterID: f.ClusterID, Kind: f.Kind, State: f.State,
		StalledBefore: time.Now().Add(-stallAfter), PageLimit: int32(limit), PageOffset: int32(offset)})
}
