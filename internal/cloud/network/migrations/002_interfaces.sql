-- Which interface of its VM a port is: 0 is the primary one (eth0); a negative one is to be taken out.
ALTER TABLE network_ports ADD COLUMN device_index INTEGER NOT NULL DEFAULT 0;
