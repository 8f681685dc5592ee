-- name: Enqueue :exec
INSERT INTO outbox (cluster_id) VALUES ($1)
ON CONFLICT (cluster_id) DO UPDATE SET generation = outbox.generation + 1, due_at = now(), attempts = 0;

-- name: Notify :exec
SELECT pg_notify('mke_outbox', '');

-- name: LeaseOutbox :one
UPDATE outbox SET lease_until = now() + make_interval(secs => sqlc.arg(seconds)::float8)
WHERE cluster_id = (
    SELECT o.cluster_id FROM outbox o
    WHERE o.due_at <= now() AND (o.lease_until IS NULL OR o.lease_until < now())
    ORDER BY o.due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING *;

-- name: FinishOutbox :execrows
DELETE FROM outbox WHERE cluster_id = $1 AND generation = $2;

-- name: ReleaseOutbox :exec
UPDATE outbox SET lease_until = NULL WHERE cluster_id = $1;

-- name: RetryOutbox :execrows
UPDATE outbox SET lease_until = NULL, attempts = attempts + 1, due_at = now() + make_interval(secs => sqlc.arg(seconds)::float8)
WHERE cluster_id = $1 AND generation = sqlc.arg(generation);

-- name: NextOutbox :one
-- Seconds until the next row is due, no more than the given ones.
SELECT LEAST(sqlc.arg(at_most)::float8, COALESCE(
    (SELECT EXTRACT(EPOCH FROM MIN(GREATEST(due_at, COALESCE(lease_until, due_at))) - now()) FROM outbox), sqlc.arg(at_most)::float8))::float8;

-- name: ListRetries :many
SELECT cluster_id, due_at FROM outbox WHERE cluster_id = ANY(sqlc.arg(cluster_ids)::uuid[]) AND attempts > 0;

-- name: CountOutbox :one
SELECT count(*) FROM outbox;
