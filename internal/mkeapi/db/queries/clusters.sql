-- name: InsertCluster :exec
INSERT INTO clusters (id, tenant_id, name, description, region, version, allowed_cidrs, pods_cidr, services_cidr, vpc_id, subnets,
    control_plane_flavor, control_plane_replicas, state, message, request_hash, created_at, cni,
    deletion_protection)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19);

-- name: GetCluster :one
SELECT * FROM clusters WHERE id = $1 AND tenant_id = $2 AND deleted_at IS NULL;

-- name: GetClusterByName :one
SELECT * FROM clusters WHERE tenant_id = $1 AND name = $2 AND deleted_at IS NULL;

-- name: LoadCluster :one
SELECT * FROM clusters WHERE id = $1;

-- name: LockCluster :one
SELECT * FROM clusters WHERE id = $1 AND deleted_at IS NULL FOR UPDATE;

-- name: LockTenantCluster :one
SELECT * FROM clusters WHERE id = $1 AND tenant_id = $2 AND deleted_at IS NULL FOR UPDATE;

-- name: ListClusterVersions :many
SELECT id, changes FROM clusters WHERE tenant_id = $1 AND deleted_at IS NULL ORDER BY created_at, id LIMIT $2 OFFSET $3;

-- name: ListClustersByID :many
SELECT * FROM clusters WHERE id = ANY(sqlc.arg(ids)::uuid[]) AND deleted_at IS NULL;

-- name: UpdateClusterDesired :exec
UPDATE clusters SET description = $2, version = $3, allowed_cidrs = $4, revision = $5, state = $6, message = $7,
    deletion_protection = $8, control_plane_flavor = $9 WHERE id = $1;

-- name: UpdateClusterAddons :exec
UPDATE clusters SET addons = $2 WHERE id = $1;

-- name: UpdateClusterObserved :exec
UPDATE clusters SET state = $2, message = $3, endpoint_host = $4, endpoint_port = $5 WHERE id = $1;

-- name: MarkClusterDeleting :exec
UPDATE clusters SET state = 'Deleting', message = $2, delete_volumes = $3, revision = revision + 1 WHERE id = $1;

-- name: MarkClusterDeleted :exec
UPDATE clusters SET deleted_at = now() WHERE id = $1 AND deleted_at IS NULL;

-- name: MarkClusterAnswered :exec
UPDATE clusters SET answered = true WHERE id = $1;

-- name: ListClustersWithDeletions :many
SELECT DISTINCT c.id FROM clusters c LEFT JOIN node_pools p ON p.cluster_id = c.id AND p.deleted_at IS NULL
WHERE c.deleted_at IS NULL AND (c.state = 'Deleting' OR p.state = 'Deleting');

-- name: ListLiveClusters :many
SELECT id FROM clusters WHERE deleted_at IS NULL ORDER BY created_at, id;

-- name: CountClustersByState :many
SELECT state, count(*) AS total FROM clusters WHERE deleted_at IS NULL GROUP BY state;
