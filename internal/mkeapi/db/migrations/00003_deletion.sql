-- +goose Up
-- Volumes carry only the first 8 characters of their cluster's id: no two clusters, deleted ones included, may share them.
CREATE UNIQUE INDEX clusters_short_id ON clusters (left(id::text, 8));
ALTER TABLE clusters ADD COLUMN delete_volumes boolean NOT NULL DEFAULT false;
-- What a deletion removes and keeps in the cloud.
ALTER TABLE operations ADD COLUMN removed jsonb NOT NULL DEFAULT '[]';
ALTER TABLE operations ADD COLUMN kept jsonb NOT NULL DEFAULT '[]';

-- +goose Down
ALTER TABLE operations DROP COLUMN kept;
ALTER TABLE operations DROP COLUMN removed;
ALTER TABLE clusters DROP COLUMN delete_volumes;
DROP INDEX clusters_short_id;
