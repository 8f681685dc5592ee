-- name: InsertOperation :exec
INSERT INTO operations (id, tenant_id, cluster_id, node_pool_id, kind, state, message, phases, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: GetOperation :one
SELECT * FROM operations WHERE id = $1 AND tenant_id = $2;

-- name: ListOperations :many
-- The page is found in the index; only what is on it is read.
SELECT * FROM operations WHERE id IN (
    SELECT o.id FROM operations o WHERE o.cluster_id = $1 ORDER BY o.created_at DESC, o.id LIMIT $2 OFFSET $3)
ORDER BY created_at DESC, id;

-- name: ListTenantOperations :many
SELECT * FROM operations WHERE id IN (
    SELECT o.id FROM operations o WHERE o.tenant_id = $1 ORDER BY o.created_at DESC, o.id LIMIT $2 OFFSET $3)
ORDER BY created_at DESC, id;

-- name: FindOperations :many
SELECT * FROM operations WHERE tenant_id = $1
    AND (sqlc.narg(cluster_id)::uuid IS NULL OR cluster_id = sqlc.narg(cluster_id))
    AND (sqlc.narg(kind)::text IS NULL OR kind = sqlc.narg(kind))
    AND (sqlc.narg(state)::text IS NULL OR sqlc.narg(state) =
        CASE WHEN state = 'Running' AND finished_at IS NULL AND moved_at < sqlc.arg(stalled_before)::timestamptz THEN 'Stalled' ELSE state END)
ORDER BY created_at DESC, id LIMIT sqlc.arg(page_limit) OFFSET sqlc.arg(page_offset);

-- name: ListChangedOperations :many
SELECT * FROM operations WHERE cluster_id = $1 AND changes > sqlc.arg(after)::bigint AND (finished_at IS NULL OR sqlc.arg(after) > 0);

-- name: ListOpenOperations :many
SELECT * FROM operations WHERE cluster_id = $1 AND finished_at IS NULL ORDER BY created_at, id;

-- name: UpdateOperation :exec
UPDATE operations SET state = $2, percentage = $3, message = $4, phases = $5, errors = $6, finished_at = $7, removed = $8, kept = $9,
    moved_at = now()
WHERE id = $1;

-- name: SetOpenOperationsMessage :exec
UPDATE operations SET message = $2 WHERE cluster_id = $1 AND finished_at IS NULL;

-- name: CancelOperations :exec
-- Ends the open operations of a cluster (of one of its node pools, if given) that a newer one replaces.
UPDATE operations SET state = 'Cancelled', message = $2, finished_at = now()
WHERE cluster_id = $1 AND finished_at IS NULL AND (sqlc.narg(node_pool_id)::uuid IS NULL OR node_pool_id = sqlc.narg(node_pool_id));
