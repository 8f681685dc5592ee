-- How many instances a tenant may have; without a tenant: those that have no row of their own.
CREATE TABLE compute_quotas (
    tenant_id TEXT PRIMARY KEY,
    instances INTEGER NOT NULL
) STRICT;
