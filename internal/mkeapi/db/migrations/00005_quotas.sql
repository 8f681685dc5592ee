-- +goose Up
-- Limits of single tenants, which replace the configured ones. Operators of the platform write them.
CREATE TABLE tenant_quotas (
    tenant_id text NOT NULL,
    name      text NOT NULL,
    maximum   bigint NOT NULL CHECK (maximum >= 0),
    PRIMARY KEY (tenant_id, name)
);

-- +goose Down
DROP TABLE tenant_quotas;
