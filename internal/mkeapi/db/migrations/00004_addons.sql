-- +goose Up
ALTER TABLE clusters
    ADD COLUMN cni text NOT NULL DEFAULT 'calico',
    -- addons holds what customers decided about addons, by name; what is missing has its default.
    ADD COLUMN addons jsonb NOT NULL DEFAULT '{}';

-- +goose Down
ALTER TABLE clusters DROP COLUMN cni, DROP COLUMN addons;
