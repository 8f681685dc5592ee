package iam

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"regexp"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type groupView struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Email       string `json:"email"`
}

const selectGroup = `SELECT id, name, description, email FROM iam_groups `

func scanGroup(row store.Scanner) (groupView, error) {
	var g groupView
	err := row.Scan(&g.ID, &g.Name, &g.Description, &g.Email)
	if errors.Is(err, sql.ErrNoRows) {
		return g, httpapi.NotFound("group")
	}
	return g, err
}

func (s *Service) group(ctx context.Context, q store.Queryer, id string) (groupView, error) {
	return scanGroup(q.QueryRowContext(ctx, selectGroup+`WHERE id = ? AND tenant_id = ?`, id, httpapi.TenantID(ctx)))
}

func (s *Service) groupsByEmail(ctx context.Context, email string) ([]groupView, error) {
	return list(ctx, s.db, scanGroup, selectGroup+`WHERE tenant_id = ?1 AND (?2 = '' OR email = ?2) ORDER BY created_at, id`, httpapi.TenantID(ctx), email)
}

type groupList struct {
	Items []groupView `json:"items"`
}

func (s *Service) listGroups(r *http.Request) (*groupList, error) {
	groups, err := s.groupsByEmail(r.Context(), httpapi.TextParam(r, "email", "only the one with this address"))
	return &groupList{groups}, err
}

type groupExistence struct {
	Exists bool `json:"exists"`
}

func (s *Service) groupExists(r *http.Request) (*groupExistence, error) {
	email, err := httpapi.RequiredParam(r, "email", "the group's address")
	if err != nil {
		return nil, err
	}
	groups, err := s.groupsByEmail(r.Context(), email)
	return &groupExistence{len(groups) > 0}, err
}

var groupIdentifier = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

func (s *Service) createGroup(r *http.Request) (*groupView, error) {
	var body struct {
		Identifier  string  `json:"identifier"`
		Name        *string `json:"name"`
		Description string  `json:"description"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if !groupIdentifier.MatchString(body.Identifier) {
		return nil, httpapi.Invalid("identifier: String should be 1 to 63 lower-case letters, digits, '.', '_' or '-', beginning with a letter or digit")
	}
	if err := checkName(body.Name, true); err != nil {
		return nil, err
	}
	ctx, tenant := r.Context(), httpapi.TenantID(r.Context())
	group := groupView{ID: uuid.NewString(), Name: *body.Name, Description: body.Description, Email: body.Identifier + "@" + tenant + ".groups.mke"}
	err := s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := s.knownTenant(ctx, tx); err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, `INSERT INTO iam_groups (id, tenant_id, name, description, email, created_at) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT (email) DO NOTHING`, group.ID, tenant, group.Name, group.Description, group.Email, store.Format(s.now()))
		if err != nil {
			return err
		}
		added, err := result.RowsAffected()
		if err == nil && added == 0 {
			return httpapi.Conflict("there is a group %q already", body.Identifier)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &group, nil
}

func (s *Service) getGroup(r *http.Request) (*groupView, error) {
	group, err := s.group(r.Context(), s.db, chi.URLParam(r, "group_id"))
	if err != nil {
		return nil, err
	}
	return &group, nil
}

func (s *Service) editGroup(r *http.Request) (*groupView, error) {
	var body struct {
		Description *string `json:"description"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if _, err := s.db.Exec(r.Context(), `UPDATE iam_groups SET description = coalesce(?, description) WHERE id = ? AND tenant_id = ?`,
		body.Description, chi.URLParam(r, "group_id"), httpapi.TenantID(r.Context())); err != nil {
		return nil, err
	}
	return s.getGroup(r)
}

// deleteGroup ends what its members had through it.
func (s *Service) deleteGroup(r *http.Request) error {
	ctx := r.Context()
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		group, err := s.group(ctx, tx, chi.URLParam(r, "group_id"))
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM iam_grants WHERE tenant_id = ? AND subject = ?`, httpapi.TenantID(ctx), group.ID); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM iam_groups WHERE id = ?`, group.ID)
		return err
	})
}

func (s *Service) listGroupOrganizations(r *http.Request) (*organizationList, error) {
	if _, err := s.group(r.Context(), s.db, chi.URLParam(r, "group_id")); err != nil {
		return nil, err
	}
	return s.answerOrganizations(r, `WHERE t.id = ?`, httpapi.TenantID(r.Context()))
}
