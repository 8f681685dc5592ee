-- +goose Up
-- What happened to one object is found without reading all that its tenant did.
CREATE INDEX audit_records_resources ON audit_records USING gin (resources);

-- +goose Down
DROP INDEX audit_records_resources;
