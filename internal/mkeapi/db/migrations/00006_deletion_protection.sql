-- +goose Up
ALTER TABLE clusters ADD COLUMN deletion_protection boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE clusters DROP COLUMN deletion_protection;
