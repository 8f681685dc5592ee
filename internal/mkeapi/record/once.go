package record

import (
	"bytes"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/problem"
)

// Answer is the answer to a request.
type Answer struct {
	Status      int
	ContentType string
	Body        []byte
}

// keepTimeout bounds the writing of an answer that its client may not wait for any more.
const keepTimeout = 5 * time.Second

// Once lets the first request with a key through and gives its answer to those that follow within 24 hours: known is true then. The
// same key with another request is idempotency_key_reused, and while the first one is under way idempotency_key_in_use. What went
// wrong on our side is not kept. An answer that comes with an error is right, but was not kept.
//
// A lock of the database keeps others out, in all processes. It ends with this process, whose death so holds nobody back.
func (s *Store) Once(ctx context.Context, tenant, key string, hash []byte, do func() Answer) (a Answer, known bool, err error) {
	// Each holds a connection while do needs another one: some must be left.
	select {
	case s.once <- struct{}{}:
		defer func() { <-s.once }()
	case <-ctx.Done():
		return a, false, ctx.Err()
	}
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return a, false, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	q := s.q.WithTx(tx)
	free, err := q.TryLockKey(ctx, db.TryLockKeyParams{TenantID: tenant, Key: key})
	if err != nil {
		return a, false, err
	}
	if !free {
		return a, false, problem.New(problem.IdempotencyKeyInUse)
	}
	first, err := q.GetIdempotencyKey(ctx, db.GetIdempotencyKeyParams{TenantID: tenant, Key: key})
	switch {
	case err == nil && !bytes.Equal(first.RequestHash, hash):
		return a, false, problem.New(problem.IdempotencyKeyReused)
	case err == nil:
		return Answer{int(first.Status), first.ContentType, first.Body}, true, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return a, false, err
	}
	a = do()
	if a.Status >= 500 {
		return a, false, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	err = q.PutIdempotencyKey(ctx, db.PutIdempotencyKeyParams{TenantID: tenant, Key: key, RequestHash: hash, Status: int32(a.Status), //nolint:gosec // an HTTP status
		ContentType: a.ContentType, Body: a.Body})
	if err == nil {
		err = tx.Commit(ctx)
	}
	return a, false, err
}

// ForgetAnswers removes answers that are too old for Once, and says how many.
func (s *Store) ForgetAnswers(ctx context.Context) (int64, error) {
	return s.q.ForgetIdempotencyKeys(ctx)
}
