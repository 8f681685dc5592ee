package iam

import (
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"slices"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// roleView is a role as lists show it: without its permissions.
type roleView struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Origin      string   `json:"origin"` // system | organization
	Permissions []string `json:"-"`
}

// systemRoles exist in every organization: admin and viewer of everything, and of each product.
var systemRoles = func() []roleView {
	admin := roleView{Name: "admin", Origin: "system", Description: "Everything"}
	viewer := roleView{Name: "viewer", Origin: "system", Description: "See everything, without the kubeconfigs of clusters"}
	var products []roleView
	for _, p := range catalogue {
		a := roleView{Name: p.Name + "_admin", Origin: "system", Description: "Everything of " + p.Name}
		v := roleView{Name: p.Name + "_viewer", Origin: "system", Description: "See everything of " + p.Name}
		for _, permission := range p.Permissions {
			a.Permissions = append(a.Permissions, permission.Name)
			if onlyReads(permission.Name) {
				v.Permissions = append(v.Permissions, permission.Name)
			}
		}
		admin.Permissions, viewer.Permissions = append(admin.Permissions, a.Permissions...), append(viewer.Permissions, v.Permissions...)
		products = append(products, a, v)
	}
	return append([]roleView{admin, viewer}, products...)
}()

// onlyReads: a kubeconfig is read, but whoever has it can do anything in the cluster.
func onlyReads(permission string) bool {
	return permission != "kubernetes_cluster_access" && !slices.ContainsFunc(access.Operations(), func(o access.Operation) bool {
		return o.Permission == permission && o.Method != http.MethodGet
	})
}

func (s *Service) listRoles(r *http.Request) ([]roleView, error) {
	name := httpapi.TextParam(r, "role_name", "only the one with this name")
	own, err := list(r.Context(), s.db, scanRole, selectRole+`WHERE tenant_id = ? ORDER BY name`, httpapi.TenantID(r.Context()))
	if err != nil {
		return nil, err
	}
	found := []roleView{}
	for _, role := range append(slices.Clone(systemRoles), own...) {
		if name == "" || role.Name == name {
			found = append(found, role)
		}
	}
	return found, nil
}

var roleName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

func (s *Service) createRole(r *http.Request) ([]roleView, error) {
	var body struct {
		Name        *string  `json:"name"`
		Description string   `json:"description"`
		Permissions []string `json:"permissions"`
		BasedRole   *string  `json:"based_role"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	switch {
	case body.Name == nil:
		return nil, httpapi.Invalid("name: Field required")
	case !roleName.MatchString(*body.Name):
		return nil, httpapi.Invalid("name: String should be 1 to 63 letters, digits, '_', '.' or '-', beginning with a letter or digit")
	}
	if err := checkPermissions("permissions", body.Permissions); err != nil {
		return nil, err
	}
	ctx, tenant := r.Context(), httpapi.TenantID(r.Context())
	role := roleView{Name: *body.Name, Description: body.Description, Origin: "organization", Permissions: body.Permissions}
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if body.BasedRole != nil {
			base, err := s.role(ctx, tx, tenant, *body.BasedRole)
			if errors.Is(err, store.ErrNotFound) {
				return httpapi.Invalid("based_role: there is no role %q", *body.BasedRole)
			}
			if err != nil {
				return err
			}
			role.Permissions = append(role.Permissions, base.Permissions...)
		}
		if _, err := s.role(ctx, tx, tenant, role.Name); err == nil {
			return httpapi.Conflict("there is a role %q already", role.Name)
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		permissions, err := encodeSet(role.Permissions)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO iam_roles (tenant_id, name, description, permissions) VALUES (?, ?, ?, ?)`,
			tenant, role.Name, role.Description, permissions)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []roleView{role}, nil
}

// encodeSet is a sorted JSON list without doubles.
func encodeSet(names []string) (string, error) {
	set := append([]string{}, names...)
	slices.Sort(set)
	data, err := json.Marshal(slices.Compact(set))
	return string(data), err
}

type rolePermissionsView struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Origin      string   `json:"origin"`
	Permissions []string `json:"permissions"`
}

func (s *Service) getRolePermissions(r *http.Request) (*rolePermissionsView, error) {
	role, err := s.role(r.Context(), s.db, httpapi.TenantID(r.Context()), chi.URLParam(r, "role_name"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, httpapi.NotFound("role")
	}
	if err != nil {
		return nil, err
	}
	return &rolePermissionsView{role.Name, role.Description, role.Origin, append([]string{}, role.Permissions...)}, nil
}

func (s *Service) editRolePermissions(r *http.Request) ([]roleView, error) {
	var body struct{ Add, Remove []string }
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkPermissions("add", body.Add); err != nil {
		return nil, err
	}
	ctx, tenant := r.Context(), httpapi.TenantID(r.Context())
	var role roleView
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		var err error
		if role, err = s.ownRole(r, tx); err != nil {
			return err
		}
		permissions, err := encodeSet(slices.DeleteFunc(append(role.Permissions, body.Add...), func(p string) bool { return slices.Contains(body.Remove, p) }))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE iam_roles SET permissions = ? WHERE tenant_id = ? AND name = ?`, permissions, tenant, role.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return []roleView{role}, nil
}

// ownRole is a role that can be changed: the system's cannot.
func (s *Service) ownRole(r *http.Request, q store.Queryer) (roleView, error) {
	role, err := s.role(r.Context(), q, httpapi.TenantID(r.Context()), chi.URLParam(r, "role_name"))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return role, httpapi.NotFound("role")
	case err == nil && role.Origin == "system":
		return role, httpapi.Conflict("the role %s belongs to the system and cannot be changed; create one with based_role", role.Name)
	}
	return role, err
}

// deleteRole takes the role away from everybody who has it.
func (s *Service) deleteRole(r *http.Request) error {
	ctx, tenant := r.Context(), httpapi.TenantID(r.Context())
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		role, err := s.ownRole(r, tx)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM iam_grants WHERE tenant_id = ? AND kind = 'role' AND name = ?`, tenant, role.Name); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM iam_roles WHERE tenant_id = ? AND name = ?`, tenant, role.Name)
		return err
	})
}

type roleMemberView struct {
	UUID  string   `json:"member_uuid"`
	Name  string   `json:"name"`
	Email string   `json:"email"`
	Roles []string `json:"roles"`
}

func (s *Service) listRoleMembers(r *http.Request) ([]roleMemberView, error) {
	ctx, tenant := r.Context(), httpapi.TenantID(r.Context())
	role, err := s.role(ctx, s.db, tenant, chi.URLParam(r, "role_name"))
	if errors.Is(err, store.ErrNotFound) {
		return nil, httpapi.NotFound("role")
	}
	if err != nil {
		return nil, err
	}
	members, err := list(ctx, s.db, scanMember, selectMember+`WHERE m.tenant_id = ? AND EXISTS
		(SELECT 1 FROM iam_grants g WHERE g.tenant_id = m.tenant_id AND g.subject = m.user_id AND g.kind = 'role' AND g.name = ?) ORDER BY u.email`, tenant, role.Name)
	if err != nil {
		return nil, err
	}
	views := []roleMemberView{}
	for _, m := range members {
		_, roles, err := s.grantsOf(ctx, s.db, tenant, m.UUID)
		if err != nil {
			return nil, err
		}
		views = append(views, roleMemberView{UUID: m.UUID, Name: m.Name, Email: m.Email, Roles: roles})
	}
	return views, nil
}
