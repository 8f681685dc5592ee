-- +goose Up
CREATE TABLE clusters (
    id                    uuid PRIMARY KEY,
    tenant_id             text NOT NULL,
    name                  text NOT NULL,
    description           text NOT NULL,
    region                text NOT NULL,
    version               text NOT NULL,
    allowed_cidrs         text[] NOT NULL,
    pods_cidr             text NOT NULL,
    services_cidr         text NOT NULL,
    vpc_id                text NOT NULL,
    subnets               jsonb NOT NULL,
    control_plane_flavor  text NOT NULL,
    control_plane_replicas integer NOT NULL,
    -- revision counts changes of the desired state; what is reported about an older one is not believed.
    revision              bigint NOT NULL DEFAULT 1,
    state                 text NOT NULL,
    message               text NOT NULL,
    endpoint_host         text NOT NULL DEFAULT '',
    endpoint_port         integer NOT NULL DEFAULT 0,
    -- request_hash and answered tell a client's repeated request from a second one for the same name.
    request_hash          bytea NOT NULL,
    answered              boolean NOT NULL DEFAULT false,
    created_at            timestamptz NOT NULL DEFAULT now(),
    deleted_at            timestamptz
);
CREATE UNIQUE INDEX clusters_name ON clusters (tenant_id, name) WHERE deleted_at IS NULL;
CREATE INDEX clusters_list ON clusters (tenant_id, created_at, id) WHERE deleted_at IS NULL;

CREATE TABLE node_pools (
    id               uuid PRIMARY KEY,
    cluster_id       uuid NOT NULL REFERENCES clusters (id),
    name             text NOT NULL,
    flavor           text NOT NULL,
    version          text NOT NULL,
    initial_replicas integer NOT NULL,
    replicas         integer NOT NULL,
    -- min_replicas and max_replicas are set on autoscaled pools only.
    min_replicas     integer,
    max_replicas     integer,
    max_pods         integer NOT NULL,
    labels           jsonb NOT NULL,
    taints           jsonb NOT NULL,
    tags             text[] NOT NULL,
    subnets          jsonb NOT NULL,
    revision         bigint NOT NULL DEFAULT 1,
    state            text NOT NULL,
    message          text NOT NULL,
    ready_replicas   integer NOT NULL DEFAULT 0,
    request_hash     bytea NOT NULL,
    answered         boolean NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    deleted_at       timestamptz
);
CREATE UNIQUE INDEX node_pools_name ON node_pools (cluster_id, name) WHERE deleted_at IS NULL;

CREATE TABLE operations (
    id           uuid PRIMARY KEY,
    tenant_id    text NOT NULL,
    cluster_id   uuid NOT NULL REFERENCES clusters (id),
    node_pool_id uuid REFERENCES node_pools (id),
    kind         text NOT NULL,
    state        text NOT NULL,
    percentage   integer NOT NULL DEFAULT 0,
    message      text NOT NULL DEFAULT '',
    phases       jsonb NOT NULL,
    errors       jsonb NOT NULL DEFAULT '[]',
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz
);
CREATE INDEX operations_list ON operations (cluster_id, created_at DESC);
CREATE INDEX operations_open ON operations (cluster_id) WHERE finished_at IS NULL;

-- One row per cluster whose desired state has not reached the management cluster yet.
CREATE TABLE outbox (
    cluster_id  uuid PRIMARY KEY REFERENCES clusters (id),
    generation  bigint NOT NULL DEFAULT 1,
    due_at      timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    attempts    integer NOT NULL DEFAULT 0
);
CREATE INDEX outbox_due ON outbox (due_at);

-- +goose Down
DROP TABLE outbox, operations, node_pools, clusters;
