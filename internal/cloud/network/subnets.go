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

const subnetColumns = `id, vpc_id, name, description, cidr, zone, nameservers, pool_id, last_host, created_at, updated_at`

func scanSubnet(row store.Scanner) (n Subnet, err error) {
	err = row.Scan(&n.ID, &n.VPCID, &n.Name, &n.Description, prefix{&n.CIDR}, &n.Zone, addrList{&n.Nameservers},
		&n.PoolID, addr{&n.lastHost}, &n.CreatedAt, &n.UpdatedAt)
	return n, err
}

func listSubnets(ctx context.Context, q store.Queryer, vpcID string) ([]Subnet, error) {
	return store.Rows(ctx, q, scanSubnet, `SELECT `+subnetColumns+` FROM network_subnets WHERE vpc_id = ? ORDER BY created_at, zone, id`, vpcID)
}

// tenantSubnet returns a subnet of the tenant, else a 404.
func tenantSubnet(ctx context.Context, q store.Queryer, tenantID, id string) (Subnet, error) {
	subnet, err := store.Row(ctx, q, scanSubnet, `SELECT `+subnetColumns+` FROM network_subnets
		WHERE id = ? AND vpc_id IN (SELECT id FROM network_vpcs WHERE tenant_id = ?)`, id, tenantID)
	if errors.Is(err, store.ErrNotFound) {
		return subnet, httpapi.NotFound("subnet")
	}
	return subnet, err
}

// DefaultSubnets returns the subnets of the tenant's default VPC, which is made when it is missing.
func (s *Service) DefaultSubnets(ctx context.Context, tenantID string) ([]Subnet, error) {
	vpc, err := s.ResolveVPC(ctx, s.db, tenantID, "", DefaultVPCName)
	if err != nil {
		return nil, err
	}
	return listSubnets(ctx, s.db, vpc.ID)
}

// CreateSubnet adds a subnet to a VPC of the tenant. Its range must be free there.
func (s *Service) CreateSubnet(ctx context.Context, tenantID string, subnet Subnet) (Subnet, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tenantVPC(ctx, tx, tenantID, subnet.VPCID); err != nil {
			return err
		}
		if err := checkPool(ctx, tx, tenantID, subnet); err != nil {
			return err
		}
		others, err := listSubnets(ctx, tx, subnet.VPCID)
		if err != nil {
			return err
		}
		for _, other := range others {
			if other.CIDR.Overlaps(subnet.CIDR) {
				return httpapi.Conflict("cidr_block %s overlaps with that of subnet %s, %s", subnet.CIDR, other.Name, other.CIDR)
			}
		}
		if s.cfg.PublicPool.Overlaps(subnet.CIDR) {
			return httpapi.Invalid("cidr_block %s overlaps with the public addresses of the region", subnet.CIDR)
		}
		subnet, err = insertSubnet(ctx, tx, subnet)
		return err
	})
	if err == nil {
		s.converge(ctx, subnet.VPCID)
	}
	return subnet, err
}

// checkPool requires the pool, where one is named, to exist and to have room for the subnet.
func checkPool(ctx context.Context, q store.Queryer, tenantID string, subnet Subnet) error {
	if subnet.PoolID == "" {
		return nil
	}
	pool, err := tenantPool(ctx, q, tenantID, subnet.PoolID)
	if err != nil {
		return err
	}
	if !contains(pool.CIDR, subnet.CIDR) {
		return httpapi.Invalid("cidr_block %s is not part of the subnet pool's %s", subnet.CIDR, pool.CIDR)
	}
	return nil
}

func contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

func insertSubnet(ctx context.Context, tx *sql.Tx, n Subnet) (Subnet, error) {
	n.ID, n.CreatedAt = uuid.NewString(), store.Now()
	n.UpdatedAt = n.CreatedAt
	return n, exec(ctx, tx, `INSERT INTO network_subnets (`+subnetColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '', ?, ?)`,
		n.ID, n.VPCID, n.Name, n.Description, n.CIDR.String(), n.Zone, addrListText(n.Nameservers), n.PoolID, n.CreatedAt, n.UpdatedAt)
}

// SetNameservers replaces the nameservers that new VMs of a subnet are told.
func (s *Service) SetNameservers(ctx context.Context, tenantID, id string, servers []netip.Addr) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tenantSubnet(ctx, tx, tenantID, id); err != nil {
			return err
		}
		return exec(ctx, tx, `UPDATE network_subnets SET nameservers = ?, updated_at = ? WHERE id = ?`,
			addrListText(servers), store.Now(), id)
	})
}

// DeleteSubnet removes a subnet without ports.
func (s *Service) DeleteSubnet(ctx context.Context, tenantID, id string) error {
	var subnet Subnet
	err := s.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		if subnet, err = tenantSubnet(ctx, tx, tenantID, id); err != nil {
			return err
		}
		n, err := store.Count(ctx, tx, `SELECT count(*) FROM network_ports WHERE subnet_id = ?`, id)
		if err != nil {
			return err
		}
		if n > 0 {
			return httpapi.Conflict("the subnet still has %d ports or load balancers; delete them first", n)
		}
		return exec(ctx, tx, `DELETE FROM network_subnets WHERE id = ?`, id)
	})
	if err == nil {
		s.converge(ctx, subnet.VPCID)
	}
	return err
}
