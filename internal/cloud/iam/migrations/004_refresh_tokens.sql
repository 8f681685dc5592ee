-- A refresh token works once and is replaced by the next of its family. One that comes a second time ends the family.
CREATE TABLE iam_refresh_tokens (
    hash       TEXT PRIMARY KEY,
    family     TEXT NOT NULL,
    tenant_id  TEXT NOT NULL REFERENCES iam_tenants (id),
    user_id    TEXT NOT NULL REFERENCES iam_users (id),
    client     TEXT NOT NULL,
    scopes     TEXT NOT NULL,
    auth_time  TEXT NOT NULL,
    used       INTEGER NOT NULL DEFAULT 0,
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX iam_refresh_tokens_by_family ON iam_refresh_tokens (family);

ALTER TABLE iam_tokens ADD COLUMN family TEXT NOT NULL DEFAULT '';
CREATE INDEX iam_tokens_by_family ON iam_tokens (family);
