// Package record keeps the record of clusters, node pools and operations in PostgreSQL. Every change is one transaction that writes
// the new desired state, the operation that people follow, and the outbox row that carries it to the management cluster.
package record

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// States of clusters and node pools that this package sets; the others are reported by the operators.
const (
	StatePending      = "Pending"
	StateProvisioning = "Provisioning"
	StateRunning      = "Running"
	StateDeleting     = "Deleting"
	StateFailed       = "Failed"
	StateScalingUp    = "ScalingUp"
	StateScalingDown  = "ScalingDown"
)

// replayWindow is how long an identical request may be the repetition of one whose answer was lost. Clients give up within 5 s.
const replayWindow = 30 * time.Second

// Now is the present with the precision of the record, so that what is answered at once equals what is read later.
func Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Store is the record. It is safe for concurrent use, also by several processes.
type Store struct {
	pool   *pgxpool.Pool
	q      *db.Queries
	dryRun bool
	once   chan struct{} // bounds Once
}

// New returns the record in a database whose schema is up to date.
func New(pool *pgxpool.Pool) *Store {
	return &Store{pool: pool, q: db.New(pool), once: make(chan struct{}, max(1, pool.Config().MaxConns/2))}
}

// DryRun returns the same record, but every change is taken back at its end: what is returned is what would be.
func (s *Store) DryRun() *Store { return &Store{pool: s.pool, q: s.q, dryRun: true} }

// Ping says whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

type txKey struct{}

// tx carries f out in a transaction; within Once, in a part of its transaction.
func (s *Store) tx(ctx context.Context, f func(*db.Queries) error) error {
	if !s.dryRun {
		if outer, ok := ctx.Value(txKey{}).(pgx.Tx); ok {
			return pgx.BeginFunc(ctx, outer, func(tx pgx.Tx) error { return f(s.q.WithTx(tx)) })
		}
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return f(s.q.WithTx(tx)) })
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return f(s.q.WithTx(tx))
}

// enqueue hands a cluster to the outbox and wakes the workers when the transaction commits.
func enqueue(ctx context.Context, q *db.Queries, clusterID uuid.UUID) error {
	if err := q.Enqueue(ctx, clusterID); err != nil {
		return err
	}
	return q.Notify(ctx)
}

func isDuplicate(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

func isDuplicateOf(err error, index string) bool {
	var pg *pgconn.PgError
	return isDuplicate(err) && errors.As(err, &pg) && pg.ConstraintName == index
}

func notFound(err error, kind *problem.Kind) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return problem.New(kind)
	}
	return err
}

// isReplay says whether a request that found its name taken is the repetition of the one that took it: same content, a moment
// ago, and its answer has not been written in full.
func isReplay(hash, recorded []byte, answered bool, created time.Time) bool {
	return !answered && bytes.Equal(hash, recorded) && time.Since(created) < replayWindow
}

// Cluster is a cluster with its node pools.
type Cluster struct {
	db.Cluster
	Pools []db.NodePool
}

// GetCluster returns a tenant's cluster, or cluster_not_found.
func (s *Store) GetCluster(ctx context.Context, tenant string, id uuid.UUID) (*Cluster, error) {
	c, err := s.q.GetCluster(ctx, db.GetClusterParams{ID: id, TenantID: tenant})
	if err != nil {
		return nil, notFound(err, problem.ClusterNotFound)
	}
	pools, err := s.q.ListNodePools(ctx, id)
	return &Cluster{c, pools}, err
}

// LoadCluster returns a cluster of any tenant, deleted or not.
func (s *Store) LoadCluster(ctx context.Context, id uuid.UUID) (*Cluster, error) {
	c, err := s.q.LoadCluster(ctx, id)
	if err != nil {
		return nil, notFound(err, problem.ClusterNotFound)
	}
	pools, err := s.q.ListNodePools(ctx, id)
	return &Cluster{c, pools}, err
}

// LiveClusters returns the ids of all clusters of all tenants that are not gone, oldest first.
func (s *Store) LiveClusters(ctx context.Context) ([]uuid.UUID, error) {
	return s.q.ListLiveClusters(ctx)
}

// ClusterVersion names a cluster as it is now: Changes grows with every change of its row.
type ClusterVersion = db.ListClusterVersionsRow

// ListClusterVersions returns a page of a tenant's clusters, oldest first.
func (s *Store) ListClusterVersions(ctx context.Context, tenant string, limit, offset int) ([]ClusterVersion, error) {
	return s.q.ListClusterVersions(ctx, db.ListClusterVersionsParams{TenantID: tenant, Limit: int32(limit), Offset: int32(offset)})
}

// ListClustersByID returns those of the clusters that exist, in no order and without node pools.
func (s *Store) ListClustersByID(ctx context.Context, ids []uuid.UUID) ([]db.Cluster, error) {
	return s.q.ListClustersByID(ctx, ids)
}

// HasCluster says whether the name is taken.
func (s *Store) HasCluster(ctx context.Context, tenant, name string) (bool, error) {
	_, err := s.q.GetClusterByName(ctx, db.GetClusterByNameParams{TenantID: tenant, Name: name})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// Answered notes that the answer to the creation of a cluster, or of a node pool, was written in full.
func (s *Store) Answered(ctx context.Context, id uuid.UUID) error {
	if err := s.q.MarkClusterAnswered(ctx, id); err != nil {
		return err
	}
	return s.q.MarkNodePoolAnswered(ctx, id)
}

// CountClusters returns the number of clusters in each state.
func (s *Store) CountClusters(ctx context.Context) (map[string]int64, error) {
	rows, err := s.q.CountClustersByState(ctx)
	counts := make(map[string]int64, len(rows))
	for _, r := range rows {
		counts[r.State] = r.Total
	}
	return counts, err
}
