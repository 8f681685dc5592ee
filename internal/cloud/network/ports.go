package network

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/store"
)

// PortRequest describes a port to make.
type PortRequest struct {
	TenantID, VPCID string
	SubnetID        string // "": that of the zone, else any of the VPC
	Zone            string // bare letter or with region; only used without SubnetID
	Name            string // of the instance, for ports with a DeviceID: the resolver answers to it
	DeviceID        string // the instance it belongs to
	IP              netip.Addr
	// SecurityGroupIDs; none: the VPC's default group, unless NoSecurityGroup. A
	// port without any group neither accepts nor opens connections.
	SecurityGroupIDs  []string
	NoSecurityGroup   bool
	AssociatePublicIP bool
	Unwired           bool // nothing is ever plugged: the kernel does not hear of it
}

const selectPorts = `SELECT p.id, p.kind = 'port', p.name, p.tenant_id, p.vpc_id, p.subnet_id, p.address, p.spoof_guard, p.device_id, p.device_index, p.created_at, p.updated_at,
	n.zone, n.cidr, n.nameservers, coalesce(i.id, ''), coalesce(i.address, ''),
	coalesce((SELECT group_concat(g.group_id) FROM network_port_groups g WHERE g.port_id = p.id), '')
	FROM network_ports p JOIN network_subnets n ON n.id = p.subnet_id LEFT JOIN network_public_ips i ON i.port_id = p.id
	WHERE p.kind IN ('port', 'unwired') AND `

func scanPort(row store.Scanner) (p Port, err error) {
	var groups string
	err = row.Scan(&p.ID, &p.Wired, &p.Name, &p.TenantID, &p.VPCID, &p.SubnetID, addr{&p.IP}, &p.SpoofGuard, &p.DeviceID, &p.DeviceIndex, &p.CreatedAt, &p.UpdatedAt,
		&p.Zone, prefix{&p.Prefix}, addrList{&p.Nameservers}, &p.PublicIPID, addr{&p.PublicIP}, &groups)
	if err != nil {
		return p, err
	}
	p.MAC = dataplane.MACFor(p.IP).String()
	p.Gateway = p.Prefix.Addr().Next()
	p.SecurityGroupIDs = slices.Sorted(slices.Values(strings.FieldsFunc(groups, func(r rune) bool { return r == ',' })))
	return p, nil
}

func portsWhere(ctx context.Context, q store.Queryer, where string, args ...any) ([]Port, error) {
	return store.Rows(ctx, q, scanPort, selectPorts+where+` ORDER BY p.created_at, p.id`, args...)
}

func portWhere(ctx context.Context, q store.Queryer, where string, args ...any) (Port, error) {
	port, err := store.Row(ctx, q, scanPort, selectPorts+where, args...)
	if errors.Is(err, store.ErrNotFound) {
		return port, httpapi.NotFound("port")
	}
	return port, err
}

func tenantPort(ctx context.Context, q store.Queryer, tenantID, id string) (Port, error) {
	return portWhere(ctx, q, `p.id = ? AND p.tenant_id = ?`, id, tenantID)
}

func (s *Service) withRegion(port Port, err error) (Port, error) {
	port.Zone = s.cfg.Region + "-" + port.Zone
	return port, err
}

// GetPort returns a port of the tenant, else a 404.
func (s *Service) GetPort(ctx context.Context, tenantID, id string) (Port, error) {
	return s.withRegion(tenantPort(ctx, s.db, tenantID, id))
}

// PortByAddress returns the port with a private address in a VPC, else a 404.
func (s *Service) PortByAddress(ctx context.Context, vpcID string, ip netip.Addr) (Port, error) {
	return s.withRegion(portWhere(ctx, s.db, `p.vpc_id = ? AND p.address = ?`, vpcID, ip.String()))
}

// CreatePort records a port with an address, in tx where one is given.
func (s *Service) CreatePort(ctx context.Context, tx *sql.Tx, req PortRequest) (Port, error) {
	var port Port
	err := s.inTx(ctx, tx, func(tx *sql.Tx) (err error) {
		port, err = s.insertPort(ctx, tx, req)
		return err
	})
	if err == nil && tx == nil {
		s.converge(ctx, port.VPCID)
	}
	return s.withRegion(port, err)
}

func (s *Service) insertPort(ctx context.Context, tx *sql.Tx, req PortRequest) (Port, error) {
	vpc, err := tenantVPC(ctx, tx, req.TenantID, req.VPCID)
	if err != nil {
		return Port{}, err
	}
	subnet, err := pickSubnet(ctx, tx, vpc, req.SubnetID, req.Zone)
	if err != nil {
		return Port{}, err
	}
	ip, err := allocateHost(ctx, tx, subnet, req.IP)
	if err != nil {
		return Port{}, err
	}
	id, now, kind := uuid.NewString(), store.Now(), "port"
	if req.Unwired {
		kind = "unwired"
	}
	err = exec(ctx, tx, `INSERT INTO network_ports (id, kind, tenant_id, vpc_id, subnet_id, name, address, device_id, created_at, updated_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, id, kind, req.TenantID, vpc.ID, subnet.ID, req.Name, ip.String(), req.DeviceID, now, now)
	if err != nil {
		return Port{}, err
	}
	groups, err := portGroups(ctx, tx, vpc, req)
	if err != nil {
		return Port{}, err
	}
	for _, group := range groups {
		if err := exec(ctx, tx, `INSERT INTO network_port_groups (port_id, group_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, id, group); err != nil {
			return Port{}, err
		}
	}
	if req.AssociatePublicIP {
		if _, err := s.insertPublicIP(ctx, tx, PublicIP{TenantID: req.TenantID, VPCID: vpc.ID, PortID: id}); err != nil {
			return Port{}, err
		}
	}
	return portWhere(ctx, tx, `p.id = ?`, id)
}

func pickSubnet(ctx context.Context, q store.Queryer, vpc VPC, id, zone string) (Subnet, error) {
	subnets, err := listSubnets(ctx, q, vpc.ID)
	if err != nil {
		return Subnet{}, err
	}
	if len(subnets) == 0 {
		return Subnet{}, httpapi.Invalid("VPC %s has no subnet; create one first", vpc.Name)
	}
	for _, subnet := range subnets {
		if subnet.ID == id || id == "" && subnet.Zone == zone[strings.LastIndex(zone, "-")+1:] {
			return subnet, nil
		}
	}
	if id != "" {
		return Subnet{}, httpapi.NotFound("subnet")
	}
	return subnets[0], nil // the local cloud's subnets reach every zone
}

func portGroups(ctx context.Context, q store.Queryer, vpc VPC, req PortRequest) ([]string, error) {
	if len(req.SecurityGroupIDs) == 0 && !req.NoSecurityGroup {
		return store.Rows(ctx, q, store.Text, `SELECT id FROM network_groups WHERE vpc_id = ?`, vpc.ID)
	}
	for _, id := range req.SecurityGroupIDs {
		if err := usableGroup(ctx, q, vpc.ID, req.TenantID, id); err != nil {
			return nil, err
		}
	}
	return req.SecurityGroupIDs, nil
}

// usableGroup refuses the default groups of other VPCs.
func usableGroup(ctx context.Context, q store.Queryer, vpcID, tenantID, id string) error {
	group, err := tenantGroup(ctx, q, tenantID, id)
	if err == nil && group.VPCID != "" && group.VPCID != vpcID {
		return httpapi.Invalid("security group %s belongs to another VPC", group.Name)
	}
	return err
}

// SetPortDevice records that a port belongs to an instance, or, with "", to none
// any more. A port that belongs to another instance is a conflict.
func (s *Service) SetPortDevice(ctx context.Context, tx *sql.Tx, portID, deviceID string) error {
	return s.inTx(ctx, tx, func(tx *sql.Tx) error {
		port, err := portWhere(ctx, tx, `p.id = ?`, portID)
		if err != nil {
			return err
		}
		if deviceID != "" && port.DeviceID != "" && port.DeviceID != deviceID {
			return httpapi.Conflict("the port is in use by instance %s", port.DeviceID)
		}
		return exec(ctx, tx, `UPDATE network_ports SET device_id = ?, updated_at = ? WHERE id = ?`, deviceID, store.Now(), portID)
	})
}

// DeletePort removes a port, its routes and its link. A public IP of it stays
// with the tenant, see ReleasePublicIP. Deleting it again succeeds.
func (s *Service) DeletePort(ctx context.Context, portID string) error {
	var vpcs []string
	err := s.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		vpcs, err = store.Rows(ctx, tx, store.Text, `SELECT vpc_id FROM network_ports WHERE id = ?1 AND (kind = 'port'
			OR kind = 'unwired' AND EXISTS (SELECT 1 FROM network_routes WHERE port_id = ?1))`, portID)
		if err != nil {
			return err
		}
		if err := exec(ctx, tx, `DELETE FROM network_routes WHERE port_id = ?`, portID); err != nil {
			return err
		}
		return exec(ctx, tx, `DELETE FROM network_ports WHERE id = ? AND kind <> 'vip'`, portID)
	})
	if err == nil {
		s.converge(ctx, vpcs...)
	}
	return err
}

// PlugPort connects a port to the network namespace of its VM, where it becomes
// eth0. Anti-spoofing and security groups are in force before. Idempotent.
func (s *Service) PlugPort(ctx context.Context, portID, netnsPath string) error {
	port, err := portWhere(ctx, s.db, `p.id = ?`, portID)
	if err != nil {
		return err
	}
	id := short(port.VPCID)
	r := s.router(id)
	mine := r.requested.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := s.applyLocked(ctx, r, id, mine); err != nil {
		return err
	}
	want := dataplane.Router{ID: id,
		Subnets: []dataplane.Subnet{{ID: short(port.SubnetID), Prefix: port.Prefix, Gateway: port.Gateway}},
		Ports:   []dataplane.Port{{ID: short(port.ID), SubnetID: short(port.SubnetID), MAC: dataplane.MACFor(port.IP), IP: port.IP, Index: port.DeviceIndex}},
	}
	return s.plane.Plug(ctx, want, short(portID), netnsPath)
}

// UnplugPort takes a port out of its VM. Unplugging it again, or one that does not exist, succeeds.
func (s *Service) UnplugPort(ctx context.Context, portID string) error {
	vpcs, err := store.Rows(ctx, s.db, store.Text, `SELECT vpc_id FROM network_ports WHERE id = ?`, portID)
	if err != nil || len(vpcs) == 0 {
		return err
	}
	r := s.router(short(vpcs[0]))
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.plane.Unplug(ctx, short(vpcs[0]), short(portID))
}

// SetSpoofGuard switches the protection of others against made-up source addresses of this port.
func (s *Service) SetSpoofGuard(ctx context.Context, tenantID, portID string, on bool) error {
	return s.changePort(ctx, tenantID, portID, func(tx *sql.Tx, _ Port) error {
		return exec(ctx, tx, `UPDATE network_ports SET spoof_guard = ?, updated_at = ? WHERE id = ?`, on, store.Now(), portID)
	})
}

// AttachGroup adds a security group to a port; it may be there already.
func (s *Service) AttachGroup(ctx context.Context, tenantID, portID, groupID string) error {
	return s.changePort(ctx, tenantID, portID, func(tx *sql.Tx, port Port) error {
		if err := usableGroup(ctx, tx, port.VPCID, tenantID, groupID); err != nil {
			return err
		}
		return exec(ctx, tx, `INSERT INTO network_port_groups (port_id, group_id) VALUES (?, ?) ON CONFLICT DO NOTHING`, portID, groupID)
	})
}

// DetachGroup takes a security group from a port; it may be gone already.
func (s *Service) DetachGroup(ctx context.Context, tenantID, portID, groupID string) error {
	return s.changePort(ctx, tenantID, portID, func(tx *sql.Tx, _ Port) error {
		if _, err := tenantGroup(ctx, tx, tenantID, groupID); err != nil {
			return err
		}
		return exec(ctx, tx, `DELETE FROM network_port_groups WHERE port_id = ? AND group_id = ?`, portID, groupID)
	})
}

func (s *Service) changePort(ctx context.Context, tenantID, portID string, change func(*sql.Tx, Port) error) error {
	var port Port
	err := s.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		if port, err = tenantPort(ctx, tx, tenantID, portID); err != nil {
			return err
		}
		return change(tx, port)
	})
	if err == nil {
		s.converge(ctx, port.VPCID)
	}
	return err
}
