-- new_size and new_type_id are of an extension or retyping under way; instance_id stays until the device is really free.
CREATE TABLE volume_volumes (
    id                TEXT PRIMARY KEY,
    tenant_id         TEXT NOT NULL,
    name              TEXT NOT NULL,
    size              INTEGER NOT NULL,
    type_id           TEXT NOT NULL,
    availability_zone TEXT NOT NULL,
    snapshot_id       TEXT NOT NULL DEFAULT '',
    state             TEXT NOT NULL CHECK (state IN ('new', 'available', 'in-use')),
    status            TEXT NOT NULL,
    error_slug        TEXT NOT NULL DEFAULT '',
    error_message     TEXT NOT NULL DEFAULT '',
    new_size          INTEGER NOT NULL DEFAULT 0,
    new_type_id       TEXT NOT NULL DEFAULT '',
    instance_id       TEXT NOT NULL DEFAULT '',
    device            TEXT NOT NULL DEFAULT '',
    attached_at       TEXT NOT NULL DEFAULT '',
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;
CREATE INDEX volume_volumes_by_tenant ON volume_volumes (tenant_id, created_at, id);
CREATE INDEX volume_volumes_by_snapshot ON volume_volumes (snapshot_id) WHERE snapshot_id <> '';
CREATE UNIQUE INDEX volume_volumes_by_device ON volume_volumes (instance_id, device) WHERE instance_id <> '';

CREATE TABLE volume_snapshots (
    id                 TEXT PRIMARY KEY,
    tenant_id          TEXT NOT NULL,
    name               TEXT NOT NULL,
    description        TEXT NOT NULL,
    volume_id          TEXT NOT NULL REFERENCES volume_volumes (id),
    source_snapshot_id TEXT NOT NULL DEFAULT '',
    type               TEXT NOT NULL CHECK (type IN ('instant', 'object')),
    size               INTEGER NOT NULL,
    availability_zone  TEXT NOT NULL,
    state              TEXT NOT NULL CHECK (state IN ('new', 'available')),
    status             TEXT NOT NULL,
    error_slug         TEXT NOT NULL DEFAULT '',
    error_message      TEXT NOT NULL DEFAULT '',
    created_at         TEXT NOT NULL,
    updated_at         TEXT NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;
CREATE INDEX volume_snapshots_by_tenant ON volume_snapshots (tenant_id, created_at, id);
CREATE INDEX volume_snapshots_by_volume ON volume_snapshots (volume_id);
