-- name: TryLockKey :one
-- The lock ends with the transaction, and so with the process that holds it.
SELECT pg_try_advisory_xact_lock(hashtextextended(sqlc.arg(tenant_id)::text || ' ' || sqlc.arg(key)::text, 1));

-- name: GetIdempotencyKey :one
SELECT * FROM idempotency_keys WHERE tenant_id = $1 AND key = $2 AND created_at > now() - interval '24 hours';

-- name: PutIdempotencyKey :exec
INSERT INTO idempotency_keys (tenant_id, key, request_hash, status, content_type, body) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant_id, key) DO UPDATE SET request_hash = $3, status = $4, content_type = $5, body = $6, created_at = now();

-- name: ForgetIdempotencyKeys :execrows
DELETE FROM idempotency_keys WHERE created_at <= now() - interval '24 hours';
