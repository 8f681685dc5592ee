-- +goose Up
-- Every call through the gateway that may have changed something, whoever made it. The gateway makes the ids.
CREATE TABLE audit_records (
    id           uuid PRIMARY KEY,
    at           timestamptz NOT NULL,
    -- tenant_id is empty where nobody knows whose call it was; no tenant sees those.
    tenant_id    text NOT NULL,
    subject_type text NOT NULL,
    subject      text NOT NULL,
    subject_name text NOT NULL,
    key_id       text NOT NULL,
    product      text NOT NULL,
    operation    text NOT NULL,
    method       text NOT NULL,
    path         text NOT NULL,
    resources    text[] NOT NULL,
    dry_run      boolean NOT NULL,
    address      text NOT NULL,
    user_agent   text NOT NULL,
    request_id   text NOT NULL,
    trace_id     text NOT NULL,
    status       integer NOT NULL,
    error        text NOT NULL,
    duration_ms  bigint NOT NULL
);
CREATE INDEX audit_records_list ON audit_records (tenant_id, at DESC, id DESC);
CREATE INDEX audit_records_age ON audit_records (at);

-- +goose Down
DROP TABLE audit_records;
