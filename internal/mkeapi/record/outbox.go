package record

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"magalu.cloud/mke/internal/mkeapi/db"
)

// Channel is where workers listen for new outbox rows.
const Channel = "mke_outbox"

// Lease takes the outbox row that has been due for longest, so that nobody else works on its cluster for the given time. It
// returns nil if nothing is due.
func (s *Store) Lease(ctx context.Context, d time.Duration) (*db.Outbox, error) {
	row, err := s.q.LeaseOutbox(ctx, d.Seconds())
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &row, err
}

// Finish removes a leased row, or gives it free if the cluster has changed since it was leased.
func (s *Store) Finish(ctx context.Context, row *db.Outbox) error {
	done, err := s.q.FinishOutbox(ctx, db.FinishOutboxParams{ClusterID: row.ClusterID, Generation: row.Generation})
	if err != nil || done > 0 {
		return err
	}
	return s.q.ReleaseOutbox(ctx, row.ClusterID)
}

// Retry gives a leased row free, due again after d, or at once if the cluster has changed since it was leased.
func (s *Store) Retry(ctx context.Context, row *db.Outbox, d time.Duration) error {
	done, err := s.q.RetryOutbox(ctx, db.RetryOutboxParams{ClusterID: row.ClusterID, Generation: row.Generation, Seconds: d.Seconds()})
	if err != nil || done > 0 {
		return err
	}
	return s.q.ReleaseOutbox(ctx, row.ClusterID)
}

// Release gives a leased row free, as it was.
func (s *Store) Release(ctx context.Context, row *db.Outbox) error {
	return s.q.ReleaseOutbox(ctx, row.ClusterID)
}

// NextDue is how long nothing will be due, at most the given time.
func (s *Store) NextDue(ctx context.Context, atMost time.Duration) (time.Duration, error) {
	seconds, err := s.q.NextOutbox(ctx, atMost.Seconds())
	return time.Duration(seconds * float64(time.Second)), err
}

// Enqueue makes the workers look at a cluster again.
func (s *Store) Enqueue(ctx context.Context, clusterID uuid.UUID) error {
	return s.tx(ctx, func(q *db.Queries) error { return enqueue(ctx, q, clusterID) })
}

// EnqueueDeletions makes the workers look at every cluster in which something is being deleted: its end may have been missed.
func (s *Store) EnqueueDeletions(ctx context.Context) error {
	ids, err := s.q.ListClustersWithDeletions(ctx)
	for _, id := range ids {
		err = errors.Join(err, s.Enqueue(ctx, id))
	}
	return err
}

// Backlog is the number of clusters whose desired state has not reached the management cluster.
func (s *Store) Backlog(ctx context.Context) (int64, error) { return s.q.CountOutbox(ctx) }
