-- Keys that sign access tokens, as PKCS #8 in base64.
CREATE TABLE iam_signing_keys (
    id         TEXT PRIMARY KEY,
    private    TEXT NOT NULL,
    created_at TEXT NOT NULL
) STRICT;

-- People who are signing in. browser is the hash of a cookie: only the browser that began can go on. tenant_id is set last.
CREATE TABLE iam_auth_requests (
    id         TEXT PRIMARY KEY,
    request    TEXT NOT NULL,
    browser    TEXT NOT NULL,
    user_id    TEXT NOT NULL DEFAULT '',
    tenant_id  TEXT NOT NULL DEFAULT '',
    code_hash  TEXT NOT NULL DEFAULT '',
    auth_time  TEXT NOT NULL DEFAULT '',
    expires_at TEXT NOT NULL
) STRICT;
CREATE INDEX iam_auth_requests_by_code ON iam_auth_requests (code_hash);

-- An access token is good while its row is. key_id is the API key that a program got it with.
CREATE TABLE iam_tokens (
    id           TEXT PRIMARY KEY,
    tenant_id    TEXT NOT NULL REFERENCES iam_tenants (id),
    subject_type TEXT NOT NULL,
    subject      TEXT NOT NULL,
    key_id       TEXT NOT NULL,
    scopes       TEXT NOT NULL,
    expires_at   TEXT NOT NULL
) STRICT;
CREATE INDEX iam_tokens_by_subject ON iam_tokens (subject, tenant_id);
