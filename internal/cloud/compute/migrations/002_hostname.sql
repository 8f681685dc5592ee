-- An instance keeps its host name when it is renamed: the system inside has taken it already.
ALTER TABLE compute_instances ADD COLUMN hostname TEXT NOT NULL DEFAULT '';
