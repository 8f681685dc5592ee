package iam

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// accessControlView says whether members' permissions count in the organization. While it is not enabled, members may do everything.
type accessControlView struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	TenantID    string `json:"tenant_id"`
	Enabled     bool   `json:"enabled"`
	EnforceMFA  bool   `json:"enforce_mfa"` // never: there is no second factor here
}

func (s *Service) accessControl(ctx context.Context) (accessControlView, error) {
	v := accessControlView{TenantID: httpapi.TenantID(ctx)}
	err := s.db.QueryRowContext(ctx, `SELECT name, description, enabled FROM iam_access_control WHERE tenant_id = ?`, v.TenantID).
		Scan(&v.Name, &v.Description, &v.Enabled)
	if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	return v, err
}

func (s *Service) getAccessControl(r *http.Request) (*accessControlView, error) {
	v, err := s.accessControl(r.Context())
	return &v, err
}

// createAccessControl names it and enables it.
func (s *Service) createAccessControl(r *http.Request) (*accessControlView, error) {
	var body struct{ Name, Description string }
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	err := s.db.Tx(r.Context(), func(tx *sql.Tx) error {
		if err := s.knownTenant(r.Context(), tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(r.Context(), `INSERT INTO iam_access_control (tenant_id, name, description, enabled) VALUES (?, ?, ?, 1)
			ON CONFLICT (tenant_id) DO UPDATE SET name = excluded.name, description = excluded.description, enabled = 1`,
			httpapi.TenantID(r.Context()), body.Name, body.Description)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.getAccessControl(r)
}

func (s *Service) editAccessControl(r *http.Request) (*accessControlView, error) {
	var body struct {
		Status     *bool `json:"status"`
		EnforceMFA *bool `json:"enforce_mfa"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if body.EnforceMFA != nil && *body.EnforceMFA {
		return nil, httpapi.NotImplemented("a second factor", "People sign in with a password.")
	}
	changed, err := s.db.Exec(r.Context(), `UPDATE iam_access_control SET enabled = coalesce(?, enabled) WHERE tenant_id = ?`,
		body.Status, httpapi.TenantID(r.Context()))
	if err != nil {
		return nil, err
	}
	if changed == 0 {
		return nil, httpapi.Conflict("access control was not created yet: POST /api/v1/access-control")
	}
	return s.getAccessControl(r)
}
