package network

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"net/netip"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// nextFree returns the first address of the prefix after last, going round, that
// is not taken. The first and the last address of the prefix (network, broadcast)
// are never given out.
func nextFree(in netip.Prefix, last netip.Addr, taken map[netip.Addr]bool) (netip.Addr, bool) {
	base, size := toUint(in.Masked().Addr()), uint32(1)<<(32-in.Bits())
	start := uint32(0)
	if last.IsValid() && in.Contains(last) {
		start = toUint(last) - base
	}
	for i := uint32(1); i <= size; i++ {
		offset := (start + i) % size
		if offset == 0 || offset == size-1 {
			continue
		}
		if candidate := fromUint(base + offset); !taken[candidate] {
			return candidate, true
		}
	}
	return netip.Addr{}, false
}

func toUint(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func fromUint(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func addressSet(ctx context.Context, q store.Queryer, text string, args ...any) (map[netip.Addr]bool, error) {
	list, err := store.Rows(ctx, q, func(row store.Scanner) (a netip.Addr, err error) {
		err = row.Scan(addr{&a})
		return a, err
	}, text, args...)
	taken := make(map[netip.Addr]bool, len(list))
	for _, a := range list {
		taken[a] = true
	}
	return taken, err
}

// allocatePublic takes an address of the public pool, for a router or as public IP.
func (s *Service) allocatePublic(ctx context.Context, tx *sql.Tx) (netip.Addr, error) {
	taken, err := addressSet(ctx, tx, `SELECT address FROM network_public_ips UNION ALL SELECT edge_address FROM network_vpcs`)
	if err != nil {
		return netip.Addr{}, err
	}
	taken[s.cfg.EdgeAddress] = true
	last, err := store.Row(ctx, tx, func(row store.Scanner) (a netip.Addr, err error) {
		err = row.Scan(addr{&a})
		return a, err
	}, `SELECT address FROM network_cursor WHERE name = 'public'`)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return netip.Addr{}, err
	}
	free, ok := nextFree(s.cfg.PublicPool, last, taken)
	if !ok {
		return free, httpapi.Conflict("there is no free public IP; release one first")
	}
	return free, exec(ctx, tx, `INSERT INTO network_cursor (name, address) VALUES ('public', ?1)
		ON CONFLICT (name) DO UPDATE SET address = ?1`, free.String())
}

// allocateHost takes an address of the subnet: wanted, or any when that is invalid.
func allocateHost(ctx context.Context, tx *sql.Tx, subnet Subnet, wanted netip.Addr) (netip.Addr, error) {
	taken, err := addressSet(ctx, tx, `SELECT address FROM network_ports WHERE subnet_id = ?`, subnet.ID)
	if err != nil {
		return netip.Addr{}, err
	}
	taken[subnet.Gateway()] = true
	if wanted.IsValid() {
		return wanted, checkWanted(subnet, wanted, taken)
	}
	free, ok := nextFree(subnet.CIDR, subnet.lastHost, taken)
	if !ok {
		return free, httpapi.Conflict("subnet %s has no free address", subnet.Name)
	}
	return free, exec(ctx, tx, `UPDATE network_subnets SET last_host = ? WHERE id = ?`, free.String(), subnet.ID)
}

func checkWanted(subnet Subnet, wanted netip.Addr, taken map[netip.Addr]bool) error {
	last := fromUint(toUint(subnet.CIDR.Addr()) + uint32(1)<<(32-subnet.CIDR.Bits()) - 1)
	switch {
	case !subnet.CIDR.Contains(wanted), wanted == subnet.CIDR.Addr(), wanted == last:
		return httpapi.Invalid("ip_address %s is not a host address of %s", wanted, subnet.CIDR)
	case taken[wanted]:
		return httpapi.Conflict("ip_address %s is in use", wanted)
	}
	return nil
}
