-- The names of links and namespaces carry the first 8 characters of an id, hence the unique indexes on them.
CREATE TABLE network_vpcs (
  id           TEXT PRIMARY KEY,
  tenant_id    TEXT NOT NULL,
  name         TEXT NOT NULL,
  description  TEXT NOT NULL DEFAULT '',
  is_default   INTEGER NOT NULL DEFAULT 0,
  edge_address TEXT NOT NULL UNIQUE,
  status       TEXT NOT NULL,
  error        TEXT NOT NULL DEFAULT '',
  created_at   TEXT NOT NULL,
  updated_at   TEXT NOT NULL,
  UNIQUE (tenant_id, name)
) STRICT;
CREATE UNIQUE INDEX network_vpcs_short ON network_vpcs (substr(id, 1, 8));

CREATE TABLE network_pools (
  id          TEXT PRIMARY KEY,
  tenant_id   TEXT NOT NULL,
  name        TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  cidr        TEXT NOT NULL,
  type        TEXT NOT NULL DEFAULT 'default',
  is_default  INTEGER NOT NULL DEFAULT 0,
  created_at  TEXT NOT NULL
) STRICT;
CREATE INDEX network_pools_tenant ON network_pools (tenant_id);

CREATE TABLE network_pool_bookings (
  pool_id TEXT NOT NULL REFERENCES network_pools (id) ON DELETE CASCADE,
  cidr    TEXT NOT NULL,
  PRIMARY KEY (pool_id, cidr)
) STRICT;

CREATE TABLE network_subnets (
  id          TEXT PRIMARY KEY,
  vpc_id      TEXT NOT NULL REFERENCES network_vpcs (id),
  name        TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  cidr        TEXT NOT NULL,
  zone        TEXT NOT NULL,
  nameservers TEXT NOT NULL DEFAULT '[]',
  pool_id     TEXT NOT NULL DEFAULT '',
  last_host   TEXT NOT NULL DEFAULT '', -- the address given out last; the search for a free one goes on behind it
  created_at  TEXT NOT NULL,
  updated_at  TEXT NOT NULL
) STRICT;
CREATE INDEX network_subnets_vpc ON network_subnets (vpc_id);
CREATE UNIQUE INDEX network_subnets_short ON network_subnets (substr(id, 1, 8));

-- kind: port (a VM's interface) or vip (an address of the router for a load balancer, whose id is device_id).
CREATE TABLE network_ports (
  id          TEXT PRIMARY KEY,
  kind        TEXT NOT NULL DEFAULT 'port',
  tenant_id   TEXT NOT NULL,
  vpc_id      TEXT NOT NULL REFERENCES network_vpcs (id),
  subnet_id   TEXT NOT NULL REFERENCES network_subnets (id),
  name        TEXT NOT NULL,
  address     TEXT NOT NULL,
  spoof_guard INTEGER NOT NULL DEFAULT 1,
  device_id   TEXT NOT NULL DEFAULT '',
  created_at  TEXT NOT NULL,
  updated_at  TEXT NOT NULL,
  UNIQUE (vpc_id, address)
) STRICT;
CREATE INDEX network_ports_tenant ON network_ports (tenant_id);
CREATE INDEX network_ports_subnet ON network_ports (subnet_id);
CREATE INDEX network_ports_device ON network_ports (device_id) WHERE device_id <> '';
CREATE UNIQUE INDEX network_ports_short ON network_ports (substr(id, 1, 8));

-- vpc_id: only the default group of a VPC belongs to one.
CREATE TABLE network_groups (
  id          TEXT PRIMARY KEY,
  tenant_id   TEXT NOT NULL,
  vpc_id      TEXT REFERENCES network_vpcs (id) ON DELETE CASCADE,
  name        TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  created_at  TEXT NOT NULL,
  updated_at  TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX network_groups_name ON network_groups (tenant_id, name) WHERE vpc_id IS NULL;
CREATE UNIQUE INDEX network_groups_default ON network_groups (vpc_id) WHERE vpc_id IS NOT NULL;
CREATE UNIQUE INDEX network_groups_short ON network_groups (substr(id, 1, 8));

CREATE TABLE network_rules (
  id              TEXT PRIMARY KEY,
  group_id        TEXT NOT NULL REFERENCES network_groups (id) ON DELETE CASCADE,
  direction       TEXT NOT NULL,
  ethertype       TEXT NOT NULL,
  protocol        TEXT NOT NULL DEFAULT '',
  port_min        INTEGER,
  port_max        INTEGER,
  remote_prefix   TEXT NOT NULL DEFAULT '',
  remote_group_id TEXT NOT NULL DEFAULT '',
  description     TEXT NOT NULL DEFAULT '',
  created_at      TEXT NOT NULL
) STRICT;
CREATE INDEX network_rules_group ON network_rules (group_id);

CREATE TABLE network_port_groups (
  port_id  TEXT NOT NULL REFERENCES network_ports (id) ON DELETE CASCADE,
  group_id TEXT NOT NULL REFERENCES network_groups (id),
  PRIMARY KEY (port_id, group_id)
) STRICT;
CREATE INDEX network_port_groups_group ON network_port_groups (group_id);

-- Either port_id or owner (a load balancer's id) is set while the address is in use.
CREATE TABLE network_public_ips (
  id          TEXT PRIMARY KEY,
  tenant_id   TEXT NOT NULL,
  vpc_id      TEXT NOT NULL REFERENCES network_vpcs (id),
  address     TEXT NOT NULL UNIQUE,
  port_id     TEXT UNIQUE REFERENCES network_ports (id) ON DELETE SET NULL,
  owner       TEXT NOT NULL DEFAULT '',
  description TEXT NOT NULL DEFAULT '',
  created_at  TEXT NOT NULL,
  updated_at  TEXT NOT NULL
) STRICT;
CREATE INDEX network_public_ips_vpc ON network_public_ips (vpc_id);
CREATE INDEX network_public_ips_tenant ON network_public_ips (tenant_id);

CREATE TABLE network_routes (
  id          TEXT PRIMARY KEY,
  vpc_id      TEXT NOT NULL REFERENCES network_vpcs (id) ON DELETE CASCADE,
  port_id     TEXT NOT NULL REFERENCES network_ports (id),
  cidr        TEXT NOT NULL,
  description TEXT NOT NULL DEFAULT '',
  created_at  TEXT NOT NULL,
  UNIQUE (vpc_id, cidr)
) STRICT;

-- The public address given out last, so that a released one rests as long as possible.
CREATE TABLE network_cursor (name TEXT PRIMARY KEY, address TEXT NOT NULL) STRICT;
