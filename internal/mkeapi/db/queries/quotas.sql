-- name: LockTenant :exec
-- Holds back other changes of what the tenant has until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('mke_tenant'), hashtext(sqlc.arg(tenant_id)::text));

-- name: CountTenantClusters :one
SELECT count(*) FROM clusters WHERE tenant_id = $1 AND deleted_at IS NULL;

-- name: LargestNodePoolCount :one
-- The number of node pools of a cluster, or of the tenant's cluster that has the most.
SELECT COALESCE(max(n), 0)::bigint FROM (
    SELECT count(*) AS n FROM node_pools p JOIN clusters c ON c.id = p.cluster_id
    WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND p.deleted_at IS NULL
        AND (sqlc.narg(cluster_id)::uuid IS NULL OR c.id = sqlc.narg(cluster_id))
    GROUP BY c.id) AS counts;

-- name: SumTenantNodes :many
-- The nodes that a tenant's node pools may grow to, by flavor.
SELECT p.flavor, sum(GREATEST(p.replicas, COALESCE(p.max_replicas, 0)))::bigint AS nodes
FROM node_pools p JOIN clusters c ON c.id = p.cluster_id
WHERE c.tenant_id = $1 AND c.deleted_at IS NULL AND p.deleted_at IS NULL GROUP BY p.flavor;

-- name: ListTenantQuotas :many
SELECT name, maximum FROM tenant_quotas WHERE tenant_id = $1;
