package iam

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// permissionToGrant makes whoever has it an administrator: they can give themselves every other one.
const permissionToGrant = "turia_iam_adm"

// grantee is the member or the group of the organization with the id.
func (s *Service) grantee(ctx context.Context, q store.Queryer, id string) error {
	_, err := s.member(ctx, q, id)
	var e *httpapi.Error
	if errors.As(err, &e) && e.Status == http.StatusNotFound {
		if _, err := s.group(ctx, q, id); err == nil {
			return nil
		}
	}
	return err
}

func (s *Service) grantsOf(ctx context.Context, q store.Queryer, tenant, subject string) (permissions, roles []string, err error) {
	grants, err := list(ctx, q, scanGrant, `SELECT kind, name FROM iam_grants WHERE tenant_id = ? AND subject = ? ORDER BY name`, tenant, subject)
	permissions, roles = []string{}, []string{}
	for _, g := range grants {
		if g.kind == "role" {
			roles = append(roles, g.name)
		} else {
			permissions = append(permissions, g.name)
		}
	}
	return permissions, roles, err
}

type grantsView struct {
	Roles       []string `json:"roles"`
	Permissions []string `json:"permissions"`
}

func (s *Service) getGrants(r *http.Request) (*grantsView, error) {
	id := chi.URLParam(r, "uuid")
	if err := s.grantee(r.Context(), s.db, id); err != nil {
		return nil, err
	}
	permissions, roles, err := s.grantsOf(r.Context(), s.db, httpapi.TenantID(r.Context()), id)
	if err != nil {
		return nil, err
	}
	return &grantsView{roles, permissions}, nil
}

func (s *Service) editGrants(r *http.Request) error {
	var body struct {
		Operation   string   `json:"operation"`
		Roles       []string `json:"roles"`
		Permissions []string `json:"permissions"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	return s.editAll(r, []string{chi.URLParam(r, "uuid")}, body.Operation, body.Roles, body.Permissions)
}

func (s *Service) editGrantsOfMany(r *http.Request) error {
	var body struct {
		Members     []string `json:"member_ids"`
		Operation   string   `json:"operation"`
		Roles       []string `json:"role_names"`
		Permissions []string `json:"permission_names"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	if len(body.Members) == 0 {
		return httpapi.Invalid("member_ids: List should have at least 1 item")
	}
	return s.editAll(r, body.Members, body.Operation, body.Roles, body.Permissions)
}

// editAll changes all of them or none.
func (s *Service) editAll(r *http.Request, ids []string, operation string, roles, permissions []string) error {
	if operation != "add" && operation != "remove" {
		return httpapi.Invalid("operation: Input should be 'add' or 'remove'")
	}
	return s.db.Tx(r.Context(), func(tx *sql.Tx) error {
		for _, id := range ids {
			if err := s.grantee(r.Context(), tx, id); err != nil {
				return err
			}
			if err := s.edit(r.Context(), tx, id, operation, roles, permissions); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Service) edit(ctx context.Context, tx *sql.Tx, subject, operation string, roles, permissions []string) error {
	tenant := httpapi.TenantID(ctx)
	statement := `DELETE FROM iam_grants WHERE tenant_id = ? AND subject = ? AND kind = ? AND name = ?`
	if operation == "add" {
		statement = `INSERT INTO iam_grants (tenant_id, subject, kind, name) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`
		if err := s.checkGrants(ctx, tx, roles, permissions); err != nil {
			return err
		}
	}
	for kind, names := range map[string][]string{"role": roles, "permission": permissions} {
		for _, name := range names {
			if _, err := tx.ExecContext(ctx, statement, tenant, subject, kind, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) checkGrants(ctx context.Context, tx *sql.Tx, roles, permissions []string) error {
	for _, name := range roles {
		if _, err := s.role(ctx, tx, httpapi.TenantID(ctx), name); errors.Is(err, store.ErrNotFound) {
			return httpapi.Invalid("roles: there is no role %q", name)
		} else if err != nil {
			return err
		}
	}
	return checkPermissions("permissions", permissions)
}
