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

const publicIPColumns = `id, tenant_id, vpc_id, address, coalesce(port_id, ''), owner, description, created_at, updated_at`

func scanPublicIP(row store.Scanner) (p PublicIP, err error) {
	err = row.Scan(&p.ID, &p.TenantID, &p.VPCID, addr{&p.Address}, &p.PortID, &p.Owner, &p.Description, &p.CreatedAt, &p.UpdatedAt)
	return p, err
}

func publicIPsWhere(ctx context.Context, q store.Queryer, where string, args ...any) ([]PublicIP, error) {
	return store.Rows(ctx, q, scanPublicIP, `SELECT `+publicIPColumns+` FROM network_public_ips WHERE `+where+` ORDER BY created_at, id`, args...)
}

func tenantPublicIP(ctx context.Context, q store.Queryer, tenantID, id string) (PublicIP, error) {
	ip, err := store.Row(ctx, q, scanPublicIP, `SELECT `+publicIPColumns+` FROM network_public_ips WHERE id = ? AND tenant_id = ?`, id, tenantID)
	if errors.Is(err, store.ErrNotFound) {
		return ip, httpapi.NotFound("public IP")
	}
	return ip, err
}

// CreatePublicIP takes an address of the public pool for a VPC.
func (s *Service) CreatePublicIP(ctx context.Context, ip PublicIP) (PublicIP, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tenantVPC(ctx, tx, ip.TenantID, ip.VPCID); err != nil {
			return err
		}
		var err error
		ip, err = s.insertPublicIP(ctx, tx, ip)
		return err
	})
	return ip, err
}

func (s *Service) insertPublicIP(ctx context.Context, tx *sql.Tx, ip PublicIP) (PublicIP, error) {
	if limit := s.cfg.PublicIPQuota; limit > 0 {
		have, err := store.Count(ctx, tx, `SELECT count(*) FROM network_public_ips WHERE tenant_id = ?`, ip.TenantID)
		if err != nil {
			return ip, err
		}
		if int64(have) >= limit {
			return ip, httpapi.OverQuota("public IPs", have, limit)
		}
	}
	address, err := s.allocatePublic(ctx, tx)
	if err != nil {
		return ip, err
	}
	ip.ID, ip.Address, ip.CreatedAt = uuid.NewString(), address, store.Now()
	ip.UpdatedAt = ip.CreatedAt
	return ip, exec(ctx, tx, `INSERT INTO network_public_ips (id, tenant_id, vpc_id, address, port_id, owner, description, created_at, updated_at)
		VALUES (?, ?, ?, ?, nullif(?, ''), ?, ?, ?, ?)`,
		ip.ID, ip.TenantID, ip.VPCID, address.String(), ip.PortID, ip.Owner, ip.Description, ip.CreatedAt, ip.UpdatedAt)
}

// AttachPublicIP gives a public IP to a port of the same VPC. Doing it again succeeds.
func (s *Service) AttachPublicIP(ctx context.Context, tenantID, id, portID string) error {
	return s.changePublicIP(ctx, tenantID, id, func(tx *sql.Tx, ip PublicIP) error {
		port, err := tenantPort(ctx, tx, tenantID, portID)
		switch {
		case err != nil:
			return err
		case ip.PortID == portID:
			return nil
		case ip.PortID != "" || ip.Owner != "":
			return httpapi.Conflict("the public IP is in use")
		case port.PublicIPID != "":
			return httpapi.Conflict("the port already has a public IP, %s", port.PublicIP)
		case port.VPCID != ip.VPCID:
			return httpapi.Invalid("the public IP and the port belong to different VPCs")
		}
		return exec(ctx, tx, `UPDATE network_public_ips SET port_id = ?, updated_at = ? WHERE id = ?`, portID, store.Now(), id)
	})
}

// DetachPublicIP takes a public IP from a port. Doing it again succeeds.
func (s *Service) DetachPublicIP(ctx context.Context, tenantID, id, portID string) error {
	return s.changePublicIP(ctx, tenantID, id, func(tx *sql.Tx, ip PublicIP) error {
		if _, err := tenantPort(ctx, tx, tenantID, portID); err != nil {
			return err
		}
		if ip.PortID != "" && ip.PortID != portID {
			return httpapi.Conflict("the public IP is attached to another port")
		}
		return exec(ctx, tx, `UPDATE network_public_ips SET port_id = NULL, updated_at = ? WHERE id = ?`, store.Now(), id)
	})
}

// DeletePublicIP gives an address that is not in use back to the pool.
func (s *Service) DeletePublicIP(ctx context.Context, tenantID, id string) error {
	return s.changePublicIP(ctx, tenantID, id, func(tx *sql.Tx, ip PublicIP) error {
		if ip.PortID != "" || ip.Owner != "" {
			return httpapi.Conflict("the public IP is in use; detach it first")
		}
		return exec(ctx, tx, `DELETE FROM network_public_ips WHERE id = ?`, id)
	})
}

func (s *Service) changePublicIP(ctx context.Context, tenantID, id string, change func(*sql.Tx, PublicIP) error) error {
	var ip PublicIP
	err := s.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		if ip, err = tenantPublicIP(ctx, tx, tenantID, id); err != nil {
			return err
		}
		return change(tx, ip)
	})
	if err == nil {
		s.converge(ctx, ip.VPCID)
	}
	return err
}

// ReleasePublicIP takes the public IP, if any, from a port; with remove, it goes
// back to the pool, else it stays with the tenant. Doing it again succeeds.
func (s *Service) ReleasePublicIP(ctx context.Context, portID string, remove bool) error {
	var ips []PublicIP
	err := s.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		if ips, err = publicIPsWhere(ctx, tx, `port_id = ?`, portID); err != nil || len(ips) == 0 {
			return err
		}
		if remove {
			return exec(ctx, tx, `DELETE FROM network_public_ips WHERE port_id = ?`, portID)
		}
		return exec(ctx, tx, `UPDATE network_public_ips SET port_id = NULL, updated_at = ? WHERE port_id = ?`, store.Now(), portID)
	})
	if err == nil && len(ips) > 0 {
		s.converge(ctx, ips[0].VPCID)
	}
	return err
}

// planePublicIPs returns the addresses that are in use: attached to a port, or
// owned by a load balancer.
func planePublicIPs(ctx context.Context, q store.Queryer, vpcID string, ports map[string]netip.Addr) ([]dataplane.PublicIP, error) {
	ips, err := publicIPsWhere(ctx, q, `vpc_id = ? AND (port_id IS NOT NULL OR owner <> '')`, vpcID)
	if err != nil {
		return nil, err
	}
	var all []dataplane.PublicIP
	for _, ip := range ips {
		all = append(all, dataplane.PublicIP{Address: ip.Address, Target: ports[ip.PortID]})
	}
	return all, nil
}
