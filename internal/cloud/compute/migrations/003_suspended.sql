-- desired may be suspended, too; SQLite changes a CHECK by making the table anew.
CREATE TABLE compute_instances_new (
    id                TEXT PRIMARY KEY,
    tenant_id         TEXT NOT NULL,
    name              TEXT NOT NULL,
    machine_type_id   TEXT NOT NULL,
    image_id          TEXT NOT NULL,
    image_name        TEXT NOT NULL,
    availability_zone TEXT NOT NULL,
    ssh_key_name      TEXT NOT NULL,
    ssh_public_key    TEXT NOT NULL,
    user_data         TEXT NOT NULL,
    labels            TEXT NOT NULL,
    port_id           TEXT NOT NULL UNIQUE,
    desired           TEXT NOT NULL CHECK (desired IN ('running', 'stopped', 'suspended', 'deleted', 'failed')),
    reboot            TEXT NOT NULL DEFAULT '' CHECK (reboot IN ('', 'stop', 'start')),
    delete_public_ip  INTEGER NOT NULL DEFAULT 0,
    status            TEXT NOT NULL,
    state             TEXT NOT NULL,
    error_slug        TEXT NOT NULL DEFAULT '',
    error_message     TEXT NOT NULL DEFAULT '',
    created_at        TEXT NOT NULL,
    updated_at        TEXT NOT NULL,
    hostname          TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO compute_instances_new SELECT * FROM compute_instances;
DROP TABLE compute_instances;
ALTER TABLE compute_instances_new RENAME TO compute_instances;
CREATE INDEX compute_instances_by_tenant ON compute_instances (tenant_id, created_at, id);
