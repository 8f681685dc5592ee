-- A scheduler takes a snapshot of each of its volumes every day; start_time is HH:MM:SS in UTC.
CREATE TABLE volume_schedulers (
    id                TEXT PRIMARY KEY,
    tenant_id         TEXT NOT NULL,
    name              TEXT NOT NULL,
    description       TEXT NOT NULL,
    snapshot_type     TEXT NOT NULL CHECK (snapshot_type IN ('instant', 'object')),
    retention_in_days INTEGER NOT NULL,
    start_time        TEXT NOT NULL,
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    UNIQUE (tenant_id, name)
) STRICT;
CREATE INDEX volume_schedulers_by_tenant ON volume_schedulers (tenant_id, created_at, id);

-- last_run is when the last snapshot was due, at first when the volume was attached.
CREATE TABLE volume_scheduled (
    scheduler_id TEXT NOT NULL REFERENCES volume_schedulers (id) ON DELETE CASCADE,
    volume_id    TEXT NOT NULL REFERENCES volume_volumes (id) ON DELETE CASCADE,
    last_run     TEXT NOT NULL,
    PRIMARY KEY (scheduler_id, volume_id)
) STRICT;
CREATE INDEX volume_scheduled_by_volume ON volume_scheduled (volume_id);

-- Snapshots that a scheduler took, and when they go.
ALTER TABLE volume_snapshots ADD COLUMN scheduler_id TEXT NOT NULL DEFAULT '';
ALTER TABLE volume_snapshots ADD COLUMN expires_at TEXT NOT NULL DEFAULT '';
CREATE INDEX volume_snapshots_by_expiry ON volume_snapshots (expires_at) WHERE expires_at <> '';
