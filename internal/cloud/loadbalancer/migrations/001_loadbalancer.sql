-- document holds listeners, backends, health checks and ACLs as JSON: they are only ever read and written together.
-- generation counts changes; the row is running when the one that was applied is still the last.
CREATE TABLE lb_load_balancers (
  id               TEXT PRIMARY KEY,
  tenant_id        TEXT NOT NULL,
  vpc_id           TEXT NOT NULL,
  name             TEXT NOT NULL,
  status           TEXT NOT NULL,
  error            TEXT NOT NULL DEFAULT '',
  delete_public_ip INTEGER NOT NULL DEFAULT 0,
  generation       INTEGER NOT NULL DEFAULT 1,
  document         TEXT NOT NULL,
  created_at       TEXT NOT NULL,
  updated_at       TEXT NOT NULL,
  UNIQUE (tenant_id, name)
) STRICT;
CREATE INDEX lb_load_balancers_status ON lb_load_balancers (status);
