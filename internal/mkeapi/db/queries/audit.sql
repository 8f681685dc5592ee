-- name: InsertAuditRecords :batchexec
INSERT INTO audit_records (id, at, tenant_id, subject_type, subject, subject_name, key_id, product, operation, method, path, resources, dry_run,
    address, user_agent, request_id, trace_id, status, error, duration_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
ON CONFLICT (id) DO NOTHING;

-- name: GetAuditRecord :one
SELECT * FROM audit_records WHERE id = $1 AND tenant_id = $2;

-- name: FindAuditRecords :many
-- The newest first, from the one after which the last page ended.
SELECT * FROM audit_records WHERE tenant_id = $1
    AND (sqlc.narg(since)::timestamptz IS NULL OR at >= sqlc.narg(since))
    AND (sqlc.narg(until)::timestamptz IS NULL OR at < sqlc.narg(until))
    AND (sqlc.narg(before_at)::timestamptz IS NULL OR (at, id) < (sqlc.narg(before_at), sqlc.narg(before_id)::uuid))
    AND (sqlc.narg(actor)::text IS NULL OR sqlc.narg(actor) IN (subject, subject_name, key_id))
    AND (sqlc.narg(product)::text IS NULL OR product = sqlc.narg(product))
    AND (sqlc.narg(operation)::text IS NULL OR operation = sqlc.narg(operation))
    AND (sqlc.narg(resource)::text IS NULL OR resources @> ARRAY[sqlc.narg(resource)])
    AND (sqlc.narg(request_id)::text IS NULL OR request_id = sqlc.narg(request_id))
    AND (sqlc.narg(result)::text IS NULL OR sqlc.narg(result) =
        CASE WHEN status IN (401, 403, 429) THEN 'refused' WHEN status >= 400 THEN 'failed' ELSE 'succeeded' END)
ORDER BY at DESC, id DESC LIMIT sqlc.arg(page_limit);

-- name: ForgetAuditRecords :execrows
-- Removes no more than the given number at once, so that nobody waits for it.
DELETE FROM audit_records WHERE id IN (SELECT r.id FROM audit_records r WHERE r.at < sqlc.arg(before)::timestamptz ORDER BY r.at LIMIT sqlc.arg(at_most));
