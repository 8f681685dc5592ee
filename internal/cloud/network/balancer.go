package network

import (
	"context"
	"database/sql"
	"errors"
	"net/netip"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/store"
)

// What load balancers need: they live in the router of their VPC, with a virtual
// IP (VIP) in one of its subnets and perhaps a public IP.

// CheckVPC returns a 404 unless the tenant has the VPC.
func (s *Service) CheckVPC(ctx context.Context, q store.Queryer, tenantID, vpcID string) error {
	_, err := tenantVPC(ctx, q, tenantID, vpcID)
	return err
}

// AllocateVIP takes an address in the first subnet of a VPC for a load balancer.
func (s *Service) AllocateVIP(ctx context.Context, tx *sql.Tx, tenantID, vpcID, owner string) (netip.Addr, error) {
	vpc, err := tenantVPC(ctx, tx, tenantID, vpcID)
	if err != nil {
		return netip.Addr{}, err
	}
	subnet, err := pickSubnet(ctx, tx, vpc, "", "")
	if err != nil {
		return netip.Addr{}, err
	}
	ip, err := allocateHost(ctx, tx, subnet, netip.Addr{})
	if err != nil {
		return netip.Addr{}, err
	}
	now := store.Now()
	return ip, exec(ctx, tx, `INSERT INTO network_ports (id, kind, tenant_id, vpc_id, subnet_id, name, address, device_id, created_at, updated_at)
		VALUES (?, 'vip', ?, ?, ?, 'load balancer', ?, ?, ?, ?)`, uuid.NewString(), tenantID, vpcID, subnet.ID, ip.String(), owner, now, now)
}

// AcquirePublicIP gives a public IP to a load balancer: the one with the id, which
// must be free and of the same VPC, or a new one for "".
func (s *Service) AcquirePublicIP(ctx context.Context, tx *sql.Tx, tenantID, vpcID, id, owner string) (PublicIP, error) {
	if id == "" {
		return s.insertPublicIP(ctx, tx, PublicIP{TenantID: tenantID, VPCID: vpcID, Owner: owner, Description: "load balancer"})
	}
	ip, err := tenantPublicIP(ctx, tx, tenantID, id)
	switch {
	case err != nil:
		return ip, err
	case ip.PortID != "" || ip.Owner != "":
		return ip, httpapi.Conflict("public IP %s is in use", ip.Address)
	case ip.VPCID != vpcID:
		return ip, httpapi.Invalid("public IP %s belongs to another VPC", ip.Address)
	}
	ip.Owner = owner
	return ip, exec(ctx, tx, `UPDATE network_public_ips SET owner = ?, updated_at = ? WHERE id = ?`, owner, store.Now(), id)
}

// ReleaseOwner gives back all addresses of a load balancer; its public IP goes
// back to the pool with removePublicIP, else it stays with the tenant.
func (s *Service) ReleaseOwner(ctx context.Context, tx *sql.Tx, owner string, removePublicIP bool) error {
	if owner == "" {
		return errors.New("no owner given")
	}
	if err := exec(ctx, tx, `DELETE FROM network_ports WHERE kind = 'vip' AND device_id = ?`, owner); err != nil {
		return err
	}
	if removePublicIP {
		return exec(ctx, tx, `DELETE FROM network_public_ips WHERE owner = ?`, owner)
	}
	return exec(ctx, tx, `UPDATE network_public_ips SET owner = '', updated_at = ? WHERE owner = ?`, store.Now(), owner)
}

// Converge applies what was recorded for a VPC and waits for it; call it after the transaction.
func (s *Service) Converge(ctx context.Context, vpcID string) error {
	return s.apply(ctx, short(vpcID))
}

// PortAddress returns the private address of a port in a VPC, else a 404.
func (s *Service) PortAddress(ctx context.Context, q store.Queryer, vpcID, portID string) (netip.Addr, error) {
	port, err := portWhere(ctx, q, `p.id = ? AND p.vpc_id = ?`, portID, vpcID)
	return port.IP, err
}

func planeVIPs(ctx context.Context, q store.Queryer, vpcID string) ([]dataplane.VIP, error) {
	return store.Rows(ctx, q, func(row store.Scanner) (v dataplane.VIP, err error) {
		err = row.Scan(addr{&v.Address}, &v.SubnetID)
		v.SubnetID = short(v.SubnetID)
		return v, err
	}, `SELECT address, subnet_id FROM network_ports WHERE kind = 'vip' AND vpc_id = ? ORDER BY address`, vpcID)
}
