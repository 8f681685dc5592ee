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

// Route of a VPC's route table: packets for CIDR go to a port. That port's
// spoofing guard must be off for them to be let through.
type Route struct {
	ID, VPCID, PortID, Description string
	CIDR                           netip.Prefix
	NextHop                        netip.Addr
	Zone                           string
	CreatedAt                      string
}

const selectRoutes = `SELECT r.id, r.vpc_id, r.port_id, r.description, r.cidr, p.address, n.zone, r.created_at
	FROM network_routes r JOIN network_ports p ON p.id = r.port_id JOIN network_subnets n ON n.id = p.subnet_id WHERE `

func scanRoute(row store.Scanner) (r Route, err error) {
	err = row.Scan(&r.ID, &r.VPCID, &r.PortID, &r.Description, prefix{&r.CIDR}, addr{&r.NextHop}, &r.Zone, &r.CreatedAt)
	return r, err
}

func listRoutes(ctx context.Context, q store.Queryer, vpcID string) ([]Route, error) {
	return store.Rows(ctx, q, scanRoute, selectRoutes+`r.vpc_id = ? ORDER BY r.created_at, r.id`, vpcID)
}

func vpcRoute(ctx context.Context, q store.Queryer, vpcID, id string) (Route, error) {
	route, err := store.Row(ctx, q, scanRoute, selectRoutes+`r.vpc_id = ? AND r.id = ?`, vpcID, id)
	if errors.Is(err, store.ErrNotFound) {
		return route, httpapi.NotFound("route")
	}
	return route, err
}

// CreateRoute adds a route to a VPC of the tenant.
func (s *Service) CreateRoute(ctx context.Context, tenantID string, route Route) (Route, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tenantVPC(ctx, tx, tenantID, route.VPCID); err != nil {
			return err
		}
		port, err := tenantPort(ctx, tx, tenantID, route.PortID)
		if err != nil {
			return err
		}
		if port.VPCID != route.VPCID {
			return httpapi.Invalid("port_id: the port belongs to another VPC")
		}
		subnets, err := listSubnets(ctx, tx, route.VPCID)
		if err != nil {
			return err
		}
		for _, subnet := range subnets {
			if subnet.CIDR.Overlaps(route.CIDR) {
				return httpapi.Conflict("cidr_destination %s overlaps with subnet %s", route.CIDR, subnet.Name)
			}
		}
		n, err := store.Count(ctx, tx, `SELECT count(*) FROM network_routes WHERE vpc_id = ? AND cidr = ?`, route.VPCID, route.CIDR.String())
		if err != nil {
			return err
		}
		if n > 0 {
			return httpapi.Conflict("the VPC already has a route to %s", route.CIDR)
		}
		route.ID, route.CreatedAt = uuid.NewString(), store.Now()
		return exec(ctx, tx, `INSERT INTO network_routes (id, vpc_id, port_id, cidr, description, created_at) VALUES (?, ?, ?, ?, ?, ?)`,
			route.ID, route.VPCID, route.PortID, route.CIDR.String(), route.Description, route.CreatedAt)
	})
	if err == nil {
		s.converge(ctx, route.VPCID)
	}
	return route, err
}

// DeleteRoute removes a route.
func (s *Service) DeleteRoute(ctx context.Context, tenantID, vpcID, id string) error {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tenantVPC(ctx, tx, tenantID, vpcID); err != nil {
			return err
		}
		if _, err := vpcRoute(ctx, tx, vpcID, id); err != nil {
			return err
		}
		return exec(ctx, tx, `DELETE FROM network_routes WHERE id = ?`, id)
	})
	if err == nil {
		s.converge(ctx, vpcID)
	}
	return err
}

func planeRoutes(ctx context.Context, q store.Queryer, vpcID string, ports map[string]netip.Addr) ([]dataplane.Route, error) {
	routes, err := listRoutes(ctx, q, vpcID)
	if err != nil {
		return nil, err
	}
	var all []dataplane.Route
	for _, route := range routes {
		all = append(all, dataplane.Route{Destination: route.CIDR, Via: ports[route.PortID]})
	}
	return all, nil
}
