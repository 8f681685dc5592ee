-- +goose Up
-- changes tells whether a row is still the one that somebody has seen before.
ALTER TABLE clusters ADD COLUMN changes bigint NOT NULL DEFAULT 0;
-- +goose StatementBegin
CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changes := OLD.changes + 1;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER clusters_changes BEFORE UPDATE ON clusters FOR EACH ROW EXECUTE FUNCTION count_changes();

-- +goose Down
DROP TRIGGER clusters_changes ON clusters;
DROP FUNCTION count_changes;
ALTER TABLE clusters DROP COLUMN changes;
