-- +goose Up
ALTER TABLE node_pools
    -- live_replicas is the number of nodes that the autoscaler has chosen since somebody set replicas.
    ADD COLUMN live_replicas integer,
    -- replicas_revision is the revision in which somebody set replicas last, 0 if nobody has.
    ADD COLUMN replicas_revision bigint NOT NULL DEFAULT 0,
    -- autoscaler says in plain words what the autoscaler does with the pool and why, nothing when there is nothing to tell.
    ADD COLUMN autoscaler text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE node_pools DROP COLUMN live_replicas, DROP COLUMN replicas_revision, DROP COLUMN autoscaler;
