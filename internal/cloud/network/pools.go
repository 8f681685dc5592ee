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

// DefaultPoolCIDR is the range of the subnet pool that every tenant has.
var DefaultPoolCIDR = netip.MustParsePrefix("172.26.0.0/16")

// SubnetPool is a range that a tenant sets aside for subnets.
type SubnetPool struct {
	ID, TenantID, Name, Description, Type string
	CIDR                                  netip.Prefix
	Default                               bool
	CreatedAt                             string
}

const poolColumns = `id, tenant_id, name, description, cidr, type, is_default, created_at`

func scanPool(row store.Scanner) (p SubnetPool, err error) {
	err = row.Scan(&p.ID, &p.TenantID, &p.Name, &p.Description, prefix{&p.CIDR}, &p.Type, &p.Default, &p.CreatedAt)
	return p, err
}

func listPools(ctx context.Context, q store.Queryer, tenantID string) ([]SubnetPool, error) {
	return store.Rows(ctx, q, scanPool, `SELECT `+poolColumns+` FROM network_pools WHERE tenant_id = ? ORDER BY created_at DESC, id`, tenantID)
}

func tenantPool(ctx context.Context, q store.Queryer, tenantID, id string) (SubnetPool, error) {
	pool, err := store.Row(ctx, q, scanPool, `SELECT `+poolColumns+` FROM network_pools WHERE id = ? AND tenant_id = ?`, id, tenantID)
	if errors.Is(err, store.ErrNotFound) {
		return pool, httpapi.NotFound("subnet pool")
	}
	return pool, err
}

func ensureDefaultPool(ctx context.Context, tx *sql.Tx, tenantID string) (SubnetPool, error) {
	pool, err := store.Row(ctx, tx, scanPool, `SELECT `+poolColumns+` FROM network_pools WHERE tenant_id = ? AND is_default`, tenantID)
	if !errors.Is(err, store.ErrNotFound) {
		return pool, err
	}
	return insertPool(ctx, tx, SubnetPool{TenantID: tenantID, Name: "default", Description: "default subnet pool",
		CIDR: DefaultPoolCIDR, Type: "default", Default: true})
}

func insertPool(ctx context.Context, tx *sql.Tx, p SubnetPool) (SubnetPool, error) {
	p.ID, p.CreatedAt = uuid.NewString(), store.Now()
	return p, exec(ctx, tx, `INSERT INTO network_pools (`+poolColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.TenantID, p.Name, p.Description, p.CIDR.String(), p.Type, p.Default, p.CreatedAt)
}

// CreatePool adds a subnet pool.
func (s *Service) CreatePool(ctx context.Context, pool SubnetPool) (SubnetPool, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) (err error) {
		pool, err = insertPool(ctx, tx, pool)
		return err
	})
	return pool, err
}

// DeletePool removes a subnet pool that no subnet came from.
func (s *Service) DeletePool(ctx context.Context, tenantID, id string) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		pool, err := tenantPool(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		n, err := store.Count(ctx, tx, `SELECT count(*) FROM network_subnets WHERE pool_id = ?`, id)
		if err != nil {
			return err
		}
		if pool.Default || n > 0 {
			return httpapi.Conflict("the subnet pool is in use")
		}
		return exec(ctx, tx, `DELETE FROM network_pools WHERE id = ?`, id)
	})
}

// BookCIDR reserves the range want of a pool, or, when want is invalid, the first free one with that many bits.
func (s *Service) BookCIDR(ctx context.Context, tenantID, id string, want netip.Prefix, bits int) (netip.Prefix, error) {
	var booked netip.Prefix
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		pool, err := tenantPool(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		taken, err := poolRanges(ctx, tx, id)
		if err != nil {
			return err
		}
		if booked, err = pickRange(pool.CIDR, taken, want, bits); err != nil {
			return err
		}
		return exec(ctx, tx, `INSERT INTO network_pool_bookings (pool_id, cidr) VALUES (?, ?)`, id, booked.String())
	})
	return booked, err
}

// UnbookCIDR gives a range back.
func (s *Service) UnbookCIDR(ctx context.Context, tenantID, id string, cidr netip.Prefix) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tenantPool(ctx, tx, tenantID, id); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `DELETE FROM network_pool_bookings WHERE pool_id = ? AND cidr = ?`, id, cidr.String())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n > 0 {
			return err
		}
		return httpapi.NotFound("booking of " + cidr.String())
	})
}

func poolRanges(ctx context.Context, q store.Queryer, id string) ([]netip.Prefix, error) {
	return store.Rows(ctx, q, func(row store.Scanner) (p netip.Prefix, err error) {
		err = row.Scan(prefix{&p})
		return p, err
	}, `SELECT cidr FROM network_pool_bookings WHERE pool_id = ?1 UNION SELECT cidr FROM network_subnets WHERE pool_id = ?1`, id)
}

func pickRange(pool netip.Prefix, taken []netip.Prefix, want netip.Prefix, bits int) (netip.Prefix, error) {
	free := func(candidate netip.Prefix) bool {
		for _, other := range taken {
			if other.Overlaps(candidate) {
				return false
			}
		}
		return true
	}
	if want.IsValid() {
		switch {
		case !contains(pool, want):
			return want, httpapi.Invalid("cidr %s is not part of the subnet pool's %s", want, pool)
		case !free(want):
			return want, httpapi.Conflict("cidr %s is in use", want)
		}
		return want, nil
	}
	if bits < pool.Bits() || bits > 30 {
		return want, httpapi.Invalid("mask must be between %d and 30", pool.Bits())
	}
	step := uint64(1) << (32 - bits)
	end := uint64(toUint(pool.Addr())) + uint64(1)<<(32-pool.Bits())
	for base := uint64(toUint(pool.Addr())); base < end; base += step {
		if candidate := netip.PrefixFrom(fromUint(uint32(base)), bits); free(candidate) {
			return candidate, nil
		}
	}
	return want, httpapi.Conflict("the subnet pool has no free range of /%d", bits)
}
