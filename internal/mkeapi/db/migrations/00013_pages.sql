-- +goose Up
-- Pages are read from indexes in their order: what lies before a page is skipped there, and nothing is sorted.
DROP INDEX clusters_list;
DROP INDEX operations_list;
DROP INDEX operations_of_tenant;
CREATE INDEX clusters_list ON clusters (tenant_id, created_at, id) INCLUDE (changes) WHERE deleted_at IS NULL;
CREATE INDEX operations_list ON operations (cluster_id, created_at DESC, id);
CREATE INDEX operations_of_tenant ON operations (tenant_id, created_at DESC, id);

-- +goose Down
DROP INDEX operations_of_tenant;
DROP INDEX operations_list;
DROP INDEX clusters_list;
CREATE INDEX operations_of_tenant ON operations (tenant_id, created_at DESC);
CREATE INDEX operations_list ON operations (cluster_id, created_at DESC);
CREATE INDEX clusters_list ON clusters (tenant_id, created_at, id) WHERE deleted_at IS NULL;
