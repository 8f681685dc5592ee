package network

import (
	"context"
	"database/sql"
	"errors"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/cloud/store"
)

const (
	groupColumns = `id, tenant_id, coalesce(vpc_id, ''), name, description, created_at, updated_at`
	ruleColumns  = `id, group_id, direction, ethertype, protocol, port_min, port_max, remote_prefix, remote_group_id, description, created_at`
)

func scanGroup(row store.Scanner) (g SecurityGroup, err error) {
	err = row.Scan(&g.ID, &g.TenantID, &g.VPCID, &g.Name, &g.Description, &g.CreatedAt, &g.UpdatedAt)
	return g, err
}

func scanRule(row store.Scanner) (r Rule, err error) {
	err = row.Scan(&r.ID, &r.GroupID, &r.Direction, &r.EtherType, &r.Protocol, &r.PortMin, &r.PortMax,
		&r.RemotePrefix, &r.RemoteGroupID, &r.Description, &r.CreatedAt)
	return r, err
}

func listGroups(ctx context.Context, q store.Queryer, tenantID string) ([]SecurityGroup, error) {
	return store.Rows(ctx, q, scanGroup, `SELECT `+groupColumns+` FROM network_groups WHERE tenant_id = ? ORDER BY created_at, id`, tenantID)
}

func tenantGroup(ctx context.Context, q store.Queryer, tenantID, id string) (SecurityGroup, error) {
	group, err := store.Row(ctx, q, scanGroup, `SELECT `+groupColumns+` FROM network_groups WHERE id = ? AND tenant_id = ?`, id, tenantID)
	if errors.Is(err, store.ErrNotFound) {
		return group, httpapi.NotFound("security group")
	}
	return group, err
}

func listRules(ctx context.Context, q store.Queryer, groupID string) ([]Rule, error) {
	return store.Rows(ctx, q, scanRule, `SELECT `+ruleColumns+` FROM network_rules WHERE group_id = ? ORDER BY created_at, id`, groupID)
}

func tenantRule(ctx context.Context, q store.Queryer, tenantID, id string) (Rule, error) {
	rule, err := store.Row(ctx, q, scanRule, `SELECT `+ruleColumns+` FROM network_rules
		WHERE id = ? AND group_id IN (SELECT id FROM network_groups WHERE tenant_id = ?)`, id, tenantID)
	if errors.Is(err, store.ErrNotFound) {
		return rule, httpapi.NotFound("rule")
	}
	return rule, err
}

// CreateGroup adds a security group; unless skipDefaults, with rules that let everything out.
func (s *Service) CreateGroup(ctx context.Context, group SecurityGroup, skipDefaults bool) (SecurityGroup, error) {
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		n, err := store.Count(ctx, tx, `SELECT count(*) FROM network_groups WHERE tenant_id = ? AND name = ? AND vpc_id IS NULL`, group.TenantID, group.Name)
		if err != nil {
			return err
		}
		if n > 0 {
			return httpapi.Conflict("a security group named %q already exists", group.Name)
		}
		group, err = insertGroup(ctx, tx, group, !skipDefaults)
		return err
	})
	return group, err
}

func insertGroup(ctx context.Context, tx *sql.Tx, g SecurityGroup, defaults bool) (SecurityGroup, error) {
	g.ID, g.CreatedAt = uuid.NewString(), store.Now()
	g.UpdatedAt = g.CreatedAt
	err := exec(ctx, tx, `INSERT INTO network_groups (id, tenant_id, vpc_id, name, description, created_at, updated_at)
		VALUES (?, ?, nullif(?, ''), ?, ?, ?, ?)`, g.ID, g.TenantID, g.VPCID, g.Name, g.Description, g.CreatedAt, g.UpdatedAt)
	if err != nil || !defaults {
		return g, err
	}
	for _, ethertype := range []string{IPv4, IPv6} {
		if _, err := insertRule(ctx, tx, Rule{GroupID: g.ID, Direction: Egress, EtherType: ethertype}); err != nil {
			return g, err
		}
	}
	return g, nil
}

// DeleteGroup removes a security group that no port and no rule uses.
func (s *Service) DeleteGroup(ctx context.Context, tenantID, id string) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		group, err := tenantGroup(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		if group.VPCID != "" {
			return httpapi.Conflict("the default security group of a VPC cannot be deleted")
		}
		used, err := store.Count(ctx, tx, `SELECT (SELECT count(*) FROM network_port_groups WHERE group_id = ?1) +
			(SELECT count(*) FROM network_rules WHERE remote_group_id = ?1 AND group_id <> ?1)`, id)
		if err != nil {
			return err
		}
		if used > 0 {
			return httpapi.Conflict("the security group is in use by %d ports or rules; detach it first", used)
		}
		return exec(ctx, tx, `DELETE FROM network_groups WHERE id = ?`, id)
	})
}

// CreateRule adds a rule to a group of the tenant. An equal one must not be there.
func (s *Service) CreateRule(ctx context.Context, tenantID string, rule Rule) (Rule, error) {
	var vpcs []string
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tenantGroup(ctx, tx, tenantID, rule.GroupID); err != nil {
			return err
		}
		if rule.RemoteGroupID != "" {
			if _, err := tenantGroup(ctx, tx, tenantID, rule.RemoteGroupID); err != nil {
				return err
			}
		}
		existing, err := listRules(ctx, tx, rule.GroupID)
		if err != nil {
			return err
		}
		for _, other := range existing {
			if sameRule(other, rule) {
				return httpapi.Conflict("the security group already has this rule, %s", other.ID)
			}
		}
		if rule, err = insertRule(ctx, tx, rule); err != nil {
			return err
		}
		vpcs, err = vpcsOfGroup(ctx, tx, rule.GroupID)
		return err
	})
	if err == nil {
		s.converge(ctx, vpcs...)
	}
	return rule, err
}

func sameRule(a, b Rule) bool {
	same := func(x, y *int) bool { return (x == nil) == (y == nil) && (x == nil || *x == *y) }
	return a.Direction == b.Direction && a.EtherType == b.EtherType && a.Protocol == b.Protocol && same(a.PortMin, b.PortMin) &&
		same(a.PortMax, b.PortMax) && a.RemotePrefix == b.RemotePrefix && a.RemoteGroupID == b.RemoteGroupID
}

func insertRule(ctx context.Context, tx *sql.Tx, r Rule) (Rule, error) {
	r.ID, r.CreatedAt = uuid.NewString(), store.Now()
	return r, exec(ctx, tx, `INSERT INTO network_rules (`+ruleColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		r.ID, r.GroupID, r.Direction, r.EtherType, r.Protocol, r.PortMin, r.PortMax, r.RemotePrefix, r.RemoteGroupID, r.Description, r.CreatedAt)
}

// DeleteRule removes a rule. Connections that it let through live on.
func (s *Service) DeleteRule(ctx context.Context, tenantID, id string) error {
	var vpcs []string
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		rule, err := tenantRule(ctx, tx, tenantID, id)
		if err != nil {
			return err
		}
		if vpcs, err = vpcsOfGroup(ctx, tx, rule.GroupID); err != nil {
			return err
		}
		return exec(ctx, tx, `DELETE FROM network_rules WHERE id = ?`, id)
	})
	if err == nil {
		s.converge(ctx, vpcs...)
	}
	return err
}

// vpcsOfGroup returns where the rules of a group are in force.
func vpcsOfGroup(ctx context.Context, q store.Queryer, groupID string) ([]string, error) {
	return store.Rows(ctx, q, store.Text, `SELECT DISTINCT p.vpc_id FROM network_ports p JOIN network_port_groups g ON g.port_id = p.id
		WHERE g.group_id = ?`, groupID)
}

// planeGroups returns the used groups and those that their rules name, with the
// rules for IPv4; the VPCs carry nothing else.
func planeGroups(ctx context.Context, q store.Queryer, used map[string]bool) ([]dataplane.Group, error) {
	var groups []dataplane.Group
	named := map[string]bool{}
	for id := range used {
		rules, err := listRules(ctx, q, id)
		if err != nil {
			return nil, err
		}
		group := dataplane.Group{ID: short(id)}
		for _, rule := range rules {
			if rule.EtherType == IPv4 {
				group.Rules = append(group.Rules, rule.plane())
				named[rule.RemoteGroupID] = true
			}
		}
		groups = append(groups, group)
	}
	for id := range named {
		if id != "" && !used[id] { // a set without members
			groups = append(groups, dataplane.Group{ID: short(id)})
		}
	}
	return groups, nil
}
