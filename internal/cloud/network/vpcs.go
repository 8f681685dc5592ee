package network

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

const vpcColumns = `id, tenant_id, name, description, is_default, edge_address, status, error, created_at, updated_at`

func scanVPC(row store.Scanner) (v VPC, err error) {
	err = row.Scan(&v.ID, &v.TenantID, &v.Name, &v.Description, &v.Default, addr{&v.EdgeAddress},
		&v.Status, &v.Error, &v.CreatedAt, &v.UpdatedAt)
	return v, err
}

func vpcWhere(ctx context.Context, q store.Queryer, where string, args ...any) (VPC, error) {
	return store.Row(ctx, q, scanVPC, `SELECT `+vpcColumns+` FROM network_vpcs WHERE `+where, args...)
}

// listVPCs returns the VPCs of a tenant, of all tenants for "".
func listVPCs(ctx context.Context, q store.Queryer, tenantID string) ([]VPC, error) {
	return store.Rows(ctx, q, scanVPC, `SELECT `+vpcColumns+` FROM network_vpcs
		WHERE tenant_id = ?1 OR ?1 = '' ORDER BY created_at, id`, tenantID)
}

// VPCs returns the VPCs of all tenants.
func (s *Service) VPCs(ctx context.Context) ([]VPC, error) { return listVPCs(ctx, s.db, "") }

// VPCNetns is the path of the VPC's network namespace; see OnVPCReady for when it exists.
func (s *Service) VPCNetns(vpcID string) (string, error) {
	if vpcID == "" {
		return "", errors.New("no VPC given")
	}
	return s.plane.NetnsPath(short(vpcID)), nil
}

// tenantVPC returns a VPC of the tenant, else a 404.
func tenantVPC(ctx context.Context, q store.Queryer, tenantID, id string) (VPC, error) {
	vpc, err := vpcWhere(ctx, q, `id = ? AND tenant_id = ?`, id, tenantID)
	if errors.Is(err, store.ErrNotFound) {
		return vpc, httpapi.NotFound("VPC")
	}
	return vpc, err
}

// ResolveVPC returns the VPC with the id, else the one with the name, else the
// tenant's default VPC, which is made when it is missing (then q must be a
// *sql.Tx, or the *store.DB outside of any transaction).
func (s *Service) ResolveVPC(ctx context.Context, q store.Queryer, tenantID, id, name string) (VPC, error) {
	if id != "" {
		return tenantVPC(ctx, q, tenantID, id)
	}
	if name == "" {
		name = DefaultVPCName
	}
	vpc, err := vpcWhere(ctx, q, `name = ? AND tenant_id = ?`, name, tenantID)
	switch {
	case !errors.Is(err, store.ErrNotFound):
		return vpc, err
	case name != DefaultVPCName:
		return vpc, httpapi.NotFound("VPC")
	}
	tx, _ := q.(*sql.Tx)
	err = s.inTx(ctx, tx, func(tx *sql.Tx) error {
		vpc, err = s.ensureDefaultVPC(ctx, tx, tenantID)
		return err
	})
	if err == nil {
		s.pool.Add(short(vpc.ID))
	}
	return vpc, err
}

// defaultSubnets are those of a default VPC, by zone.
var defaultSubnets = []struct{ zone, cidr string }{
	{"a", "172.26.0.0/20"}, {"b", "172.26.16.0/20"}, {"c", "172.26.32.0/20"},
}

func (s *Service) ensureDefaultVPC(ctx context.Context, tx *sql.Tx, tenantID string) (VPC, error) {
	vpc, err := vpcWhere(ctx, tx, `name = ? AND tenant_id = ?`, DefaultVPCName, tenantID)
	if !errors.Is(err, store.ErrNotFound) {
		return vpc, err
	}
	vpc, err = s.insertVPC(ctx, tx, VPC{TenantID: tenantID, Name: DefaultVPCName, Description: "default VPC", Default: true})
	if err != nil {
		return vpc, err
	}
	pool, err := ensureDefaultPool(ctx, tx, tenantID)
	if err != nil {
		return vpc, err
	}
	for _, d := range defaultSubnets {
		subnet := Subnet{VPCID: vpc.ID, Name: "subnet_default_" + d.zone, Zone: d.zone,
			CIDR: netip.MustParsePrefix(d.cidr), PoolID: pool.ID}
		if _, err := insertSubnet(ctx, tx, subnet); err != nil {
			return vpc, err
		}
	}
	return vpc, nil
}

// CreateVPC records a VPC without subnets; it is usable when its status is created.
func (s *Service) CreateVPC(ctx context.Context, vpc VPC) (VPC, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := s.ensureDefaultVPC(ctx, tx, vpc.TenantID); err != nil {
			return err
		}
		if err := vpcNameFree(ctx, tx, vpc.TenantID, vpc.Name); err != nil {
			return err
		}
		var err error
		vpc, err = s.insertVPC(ctx, tx, vpc)
		return err
	})
	if err == nil {
		s.pool.Add(short(vpc.ID))
	}
	return vpc, err
}

func vpcNameFree(ctx context.Context, q store.Queryer, tenantID, name string) error {
	n, err := store.Count(ctx, q, `SELECT count(*) FROM network_vpcs WHERE tenant_id = ? AND name = ?`, tenantID, name)
	if err == nil && n > 0 {
		return httpapi.Conflict("a VPC named %q already exists", name)
	}
	return err
}

// insertVPC adds the VPC and its default security group.
func (s *Service) insertVPC(ctx context.Context, tx *sql.Tx, vpc VPC) (VPC, error) {
	address, err := s.allocatePublic(ctx, tx)
	if err != nil {
		return vpc, err
	}
	vpc.ID, vpc.EdgeAddress, vpc.Status = uuid.NewString(), address, StatusPending
	vpc.CreatedAt = store.Now()
	vpc.UpdatedAt = vpc.CreatedAt
	err = exec(ctx, tx, `INSERT INTO network_vpcs (`+vpcColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?)`,
		vpc.ID, vpc.TenantID, vpc.Name, vpc.Description, vpc.Default, address.String(), vpc.Status, vpc.CreatedAt, vpc.UpdatedAt)
	if err != nil {
		return vpc, err
	}
	group := SecurityGroup{TenantID: vpc.TenantID, VPCID: vpc.ID, Name: "default", Description: "default security group of " + vpc.Name}
	group, err = insertGroup(ctx, tx, group, true)
	if err != nil {
		return vpc, err
	}
	_, err = insertRule(ctx, tx, Rule{GroupID: group.ID, Direction: Ingress, EtherType: IPv4, RemoteGroupID: group.ID})
	return vpc, err
}

// RenameVPC gives a VPC another name.
func (s *Service) RenameVPC(ctx context.Context, tenantID, id, name string) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		vpc, err := tenantVPC(ctx, tx, tenantID, id)
		if err != nil || vpc.Name == name {
			return err
		}
		if vpc.Default {
			return httpapi.Conflict("the default VPC cannot be renamed")
		}
		if err := vpcNameFree(ctx, tx, tenantID, name); err != nil {
			return err
		}
		return exec(ctx, tx, `UPDATE network_vpcs SET name = ?, updated_at = ? WHERE id = ?`, name, store.Now(), id)
	})
}

// DeleteVPC removes an empty VPC that is not the default one.
func (s *Service) DeleteVPC(ctx context.Context, tenantID, id string) error {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		vpc, err := tenantVPC(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		if vpc.Default {
			return httpapi.Conflict("the default VPC cannot be deleted")
		}
		for table, what := range map[string]string{"network_ports": "ports", "network_public_ips": "public IPs", "network_subnets": "subnets"} {
			n, err := store.Count(ctx, tx, `SELECT count(*) FROM `+table+` WHERE vpc_id = ?`, id)
			if err != nil {
				return err
			}
			if n > 0 {
				return httpapi.Conflict("the VPC still has %s; delete them first", what)
			}
		}
		return exec(ctx, tx, `DELETE FROM network_vpcs WHERE id = ?`, id)
	})
	if err == nil {
		s.converge(ctx, id)
	}
	return err
}
