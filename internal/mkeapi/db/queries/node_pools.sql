-- name: InsertNodePool :exec
INSERT INTO node_pools (id, cluster_id, name, flavor, version, initial_replicas, replicas, min_replicas, max_replicas, max_pods, labels,
    taints, tags, subnets, state, message, request_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18);

-- name: GetNodePool :one
SELECT * FROM node_pools WHERE id = $1 AND cluster_id = $2 AND deleted_at IS NULL;

-- name: GetNodePoolByName :one
SELECT * FROM node_pools WHERE cluster_id = $1 AND name = $2 AND deleted_at IS NULL;

-- name: ListNodePools :many
SELECT * FROM node_pools WHERE cluster_id = $1 AND deleted_at IS NULL ORDER BY created_at, id;

-- name: PageNodePools :many
SELECT * FROM node_pools WHERE cluster_id = $1 AND deleted_at IS NULL ORDER BY created_at, id LIMIT $2 OFFSET $3;

-- name: ListChangedNodePools :many
SELECT * FROM node_pools WHERE cluster_id = $1 AND changes > sqlc.arg(after)::bigint AND (deleted_at IS NULL OR sqlc.arg(after) > 0);

-- name: UpdateNodePoolDesired :exec
UPDATE node_pools SET flavor = $2, version = $3, replicas = $4, min_replicas = $5, max_replicas = $6, revision = $7, state = $8, message = $9,
    live_replicas = $10, replicas_revision = $11
WHERE id = $1;

-- name: UpdateNodePoolObserved :exec
UPDATE node_pools SET state = $2, message = $3, ready_replicas = $4, live_replicas = $5, autoscaler = $6 WHERE id = $1;

-- name: MarkNodePoolDeleting :exec
UPDATE node_pools SET state = 'Deleting', message = $2, revision = revision + 1 WHERE id = $1;

-- name: MarkNodePoolDeleted :exec
UPDATE node_pools SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL;

-- name: MarkNodePoolsDeleted :exec
UPDATE node_pools SET deleted_at = now() WHERE cluster_id = $1 AND deleted_at IS NULL;

-- name: MarkNodePoolAnswered :exec
UPDATE node_pools SET answered = true WHERE id = $1;
