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

const (
	// keepTimeout bounds the writing of an answer that its client may not wait for any more.
	keepTimeout = 5 * time.Second
	// onceTimeout bounds the wait for others with keys.
	onceTimeout = 4 * time.Second
)

// Once lets the first request with a key through and gives its answer to those that follow within 24 hours: known is true then. The
// same key with another request is idempotency_key_reused, and while the first one is under way idempotency_key_in_use. What went
// wrong on our side is not kept. After an error nobody knows whether it was done: asking again tells, or does it.
//
// What do changes with the context that it gets is one transaction with its answer: there is never one without the other. A lock of
// the database keeps others out, in all processes. It ends with this process, whose death so holds nobody back.
func (s *Store) Once(ctx context.Context, tenant, key string, hash []byte, do func(context.Context) Answer) (a Answer, known bool, err error) {
	// Each holds a connection while do needs another one to read: some must be left.
	select {
	case s.once <- struct{}{}:
		defer func() { <-s.once }()
	case <-time.After(onceTimeout):
		return a, false, problem.New(problem.Unavailable)
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
	a = do(context.WithValue(ctx, txKey{}, tx))
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
	if err != nil {
		return Answer{}, false, err
	}
	return a, false, nil
}

// ForgetAnswers removes answers that are too old for Once, and says how many.
func (s *Store) ForgetAnswers(ctx context.Context) (int64, error) {
	return s.q.ForgetIdempotencyKeys(ctx)
}
