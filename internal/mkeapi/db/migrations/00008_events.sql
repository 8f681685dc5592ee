-- +goose Up
-- Every change of a cluster, node pool or operation has a number. Those of one cluster are made one after the other, so whoever has
-- seen a number has seen all that are smaller.
CREATE SEQUENCE change_numbers;
SELECT setval('change_numbers', (SELECT COALESCE(max(changes), 0) + 1 FROM clusters));
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changes := nextval('change_numbers');
    RETURN NEW;
END $$;
-- +goose StatementEnd
ALTER TABLE clusters ALTER COLUMN changes SET DEFAULT nextval('change_numbers');
ALTER TABLE node_pools ADD COLUMN changes bigint NOT NULL DEFAULT nextval('change_numbers');
ALTER TABLE operations
    ADD COLUMN changes bigint NOT NULL DEFAULT nextval('change_numbers'),
    -- moved_at is when the operation got any further.
    ADD COLUMN moved_at timestamptz NOT NULL DEFAULT now();
CREATE TRIGGER node_pools_changes BEFORE UPDATE ON node_pools FOR EACH ROW EXECUTE FUNCTION count_changes();
CREATE TRIGGER operations_changes BEFORE UPDATE ON operations FOR EACH ROW EXECUTE FUNCTION count_changes();
CREATE INDEX operations_of_tenant ON operations (tenant_id, created_at DESC);

-- +goose StatementBegin
CREATE FUNCTION tell_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'clusters' THEN
        PERFORM pg_notify('mke_changes', NEW.id::text);
    ELSE
        PERFORM pg_notify('mke_changes', NEW.cluster_id::text);
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER clusters_tell AFTER INSERT OR UPDATE ON clusters FOR EACH ROW EXECUTE FUNCTION tell_changes();
CREATE TRIGGER node_pools_tell AFTER INSERT OR UPDATE ON node_pools FOR EACH ROW EXECUTE FUNCTION tell_changes();
CREATE TRIGGER operations_tell AFTER INSERT OR UPDATE ON operations FOR EACH ROW EXECUTE FUNCTION tell_changes();

-- +goose Down
DROP TRIGGER operations_tell ON operations;
DROP TRIGGER node_pools_tell ON node_pools;
DROP TRIGGER clusters_tell ON clusters;
DROP FUNCTION tell_changes;
DROP INDEX operations_of_tenant;
DROP TRIGGER operations_changes ON operations;
DROP TRIGGER node_pools_changes ON node_pools;
ALTER TABLE operations DROP COLUMN moved_at, DROP COLUMN changes;
ALTER TABLE node_pools DROP COLUMN changes;
ALTER TABLE clusters ALTER COLUMN changes SET DEFAULT 0;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changes := OLD.changes + 1;
    RETURN NEW;
END $$;
-- +goose StatementEnd
DROP SEQUENCE change_numbers;
