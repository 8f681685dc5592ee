-- A person is one user in all organizations. Without a password they cannot sign in.
CREATE TABLE iam_users (
    id            TEXT PRIMARY KEY,
    email         TEXT NOT NULL UNIQUE COLLATE NOCASE,
    name          TEXT NOT NULL,
    password_hash TEXT NOT NULL DEFAULT '',
    created_at    TEXT NOT NULL
) STRICT;

CREATE TABLE iam_members (
    tenant_id  TEXT NOT NULL REFERENCES iam_tenants (id),
    user_id    TEXT NOT NULL REFERENCES iam_users (id),
    profile    TEXT NOT NULL CHECK (profile IN ('owner', 'member')),
    created_at TEXT NOT NULL,
    PRIMARY KEY (tenant_id, user_id)
) STRICT;
CREATE INDEX iam_members_by_user ON iam_members (user_id);

-- Roles that an organization made; permissions is a JSON list.
CREATE TABLE iam_roles (
    tenant_id   TEXT NOT NULL REFERENCES iam_tenants (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT;

CREATE TABLE iam_groups (
    id          TEXT PRIMARY KEY,
    tenant_id   TEXT NOT NULL REFERENCES iam_tenants (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    email       TEXT NOT NULL UNIQUE,
    created_at  TEXT NOT NULL
) STRICT;
CREATE INDEX iam_groups_by_tenant ON iam_groups (tenant_id, created_at);

CREATE TABLE iam_group_members (
    group_id   TEXT NOT NULL REFERENCES iam_groups (id) ON DELETE CASCADE,
    user_id    TEXT NOT NULL REFERENCES iam_users (id),
    profile    TEXT NOT NULL,
    created_at TEXT NOT NULL,
    PRIMARY KEY (group_id, user_id)
) STRICT;
CREATE INDEX iam_group_members_by_user ON iam_group_members (user_id);

-- What a member or a group was given; subject is its id.
CREATE TABLE iam_grants (
    tenant_id TEXT NOT NULL REFERENCES iam_tenants (id),
    subject   TEXT NOT NULL,
    kind      TEXT NOT NULL CHECK (kind IN ('role', 'permission')),
    name      TEXT NOT NULL,
    PRIMARY KEY (tenant_id, subject, kind, name)
) STRICT;

-- Permissions are asked for only where access control is enabled.
CREATE TABLE iam_access_control (
    tenant_id   TEXT PRIMARY KEY REFERENCES iam_tenants (id),
    name        TEXT NOT NULL,
    description TEXT NOT NULL,
    enabled     INTEGER NOT NULL
) STRICT;
