CREATE TABLE iam_tenants (
    id         TEXT PRIMARY KEY,
    legal_name TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

CREATE TABLE iam_service_accounts (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES iam_tenants (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    email       TEXT NOT NULL,
    created_at  TEXT NOT NULL
) STRICT;
CREATE INDEX iam_service_accounts_by_tenant ON iam_service_accounts (tenant_id, created_at);

-- The key itself is not kept: it is shown once, hash is its SHA-256 in hex.
CREATE TABLE iam_api_keys (
    id                 TEXT PRIMARY KEY,
    tenant_id          TEXT NOT NULL REFERENCES iam_tenants (id),
    service_account_id TEXT REFERENCES iam_service_accounts (id) ON DELETE CASCADE,
    subject_type       TEXT NOT NULL CHECK (subject_type IN ('user', 'service_account', 'platform')),
    subject            TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT NOT NULL,
    hash               TEXT NOT NULL UNIQUE,
    scopes             TEXT NOT NULL,
    start_validity     TEXT NOT NULL,
    end_validity       TEXT NOT NULL DEFAULT '',
    revoked_at         TEXT NOT NULL DEFAULT '',
    revoked_by         TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX iam_api_keys_by_account ON iam_api_keys (service_account_id, start_validity);
