package iam

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/store"
)

// permissions are what a member may do: everything where access control is not enabled, and for owners; else what they and their
// groups were given. member is false for who is none.
func (s *Service) permissions(ctx context.Context, tenantID, userID string) (list []string, member bool, err error) {
	var profile string
	var enabled bool
	err = s.db.QueryRowContext(ctx, `SELECT m.profile, coalesce(c.enabled, 0) FROM iam_members m
		LEFT JOIN iam_access_control c ON c.tenant_id = m.tenant_id WHERE m.tenant_id = ? AND m.user_id = ?`, tenantID, userID).Scan(&profile, &enabled)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case profile == "owner" || !enabled:
		return []string{access.All}, true, nil
	}
	list, err = s.granted(ctx, tenantID, userID)
	return list, true, err
}

// granted are the permissions of a member's own grants and of those of their groups.
func (s *Service) granted(ctx context.Context, tenantID, userID string) ([]string, error) {
	grants, err := list(ctx, s.db, scanGrant, `SELECT kind, name FROM iam_grants WHERE tenant_id = ?1 AND (subject = ?2 OR subject IN
		(SELECT g.id FROM iam_groups g JOIN iam_group_members m ON m.group_id = g.id WHERE g.tenant_id = ?1 AND m.user_id = ?2))`, tenantID, userID)
	if err != nil {
		return nil, err
	}
	list := []string{}
	for _, g := range grants {
		if g.kind == "permission" {
			list = append(list, g.name)
			continue
		}
		role, err := s.role(ctx, s.db, tenantID, g.name)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		list = append(list, role.Permissions...)
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

type grant struct{ kind, name string }

func scanGrant(row store.Scanner) (grant, error) {
	var g grant
	err := row.Scan(&g.kind, &g.name)
	return g, err
}

// role returns one of the system's roles or of the organization's; store.ErrNotFound if there is none.
func (s *Service) role(ctx context.Context, q store.Queryer, tenantID, name string) (roleView, error) {
	if i := slices.IndexFunc(systemRoles, func(r roleView) bool { return r.Name == name }); i >= 0 {
		return systemRoles[i], nil
	}
	role, err := scanRole(q.QueryRowContext(ctx, selectRole+`WHERE tenant_id = ? AND name = ?`, tenantID, name))
	if errors.Is(err, sql.ErrNoRows) {
		return role, store.ErrNotFound
	}
	return role, err
}

const selectRole = `SELECT name, description, permissions FROM iam_roles `

func scanRole(row store.Scanner) (roleView, error) {
	r := roleView{Origin: "organization"}
	var permissions string
	if err := row.Scan(&r.Name, &r.Description, &permissions); err != nil {
		return r, err
	}
	return r, json.Unmarshal([]byte(permissions), &r.Permissions)
}
