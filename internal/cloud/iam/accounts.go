package iam

import (
	"context"
	"database/sql"
	"errors"
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

type tenantView struct {
	UUID      string `json:"uuid"`
	LegalName string `json:"legal_name"`
}

type accountView struct {
	UUID        string     `json:"uuid"`
	Name        string     `json:"name"`
	Description string     `json:"description"`
	Email       string     `json:"email"`
	Tenant      tenantView `json:"tenant"`
}

const selectAccount = `SELECT a.id, a.name, a.description, a.email, t.id, t.legal_name
	FROM iam_service_accounts a JOIN iam_tenants t ON t.id = a.tenant_id `

func scanAccount(row store.Scanner) (a accountView, err error) {
	err = row.Scan(&a.UUID, &a.Name, &a.Description, &a.Email, &a.Tenant.UUID, &a.Tenant.LegalName)
	return a, err
}

func (s *Service) account(ctx context.Context, q store.Queryer, id string) (accountView, error) {
	a, err := store.Row(ctx, q, scanAccount, selectAccount+`WHERE a.id = ? AND a.tenant_id = ?`, id, httpapi.TenantID(ctx))
	if errors.Is(err, store.ErrNotFound) {
		return a, httpapi.NotFound("service account")
	}
	return a, err
}

// listAccounts lists all of the tenant's accounts; ?name= is our addition.
func (s *Service) listAccounts(r *http.Request) ([]accountView, error) {
	accounts, err := list(r.Context(), s.db, scanAccount, selectAccount+`WHERE a.tenant_id = ?1 AND (?2 = '' OR a.name = ?2)
		ORDER BY a.created_at, a.id`, httpapi.TenantID(r.Context()), httpapi.TextParam(r, "name", "only those with this name"))
	if err != nil {
		return nil, err
	}
	return accounts, nil
}

func (s *Service) createAccount(r *http.Request) (*accountView, error) {
	var body struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
		Email       *string `json:"email"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkName(body.Name, true); err != nil {
		return nil, err
	}
	if body.Description == nil {
		return nil, httpapi.Invalid("description: Field required")
	}
	if body.Email == nil {
		return nil, httpapi.Invalid("email: Field required")
	}
	if err := checkEmail("email", *body.Email); err != nil {
		return nil, err
	}
	id := uuid.NewString()
	err := s.db.Tx(r.Context(), func(tx *sql.Tx) error {
		if err := s.knownTenant(r.Context(), tx); err != nil {
			return err
		}
		_, err := tx.ExecContext(r.Context(), `INSERT INTO iam_service_accounts (id, tenant_id, name, description, email, created_at)
			VALUES (?, ?, ?, ?, ?, ?)`, id, httpapi.TenantID(r.Context()), *body.Name, *body.Description, *body.Email, store.Format(s.now()))
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.answerAccount(r, id)
}

// knownTenant matters for the platform's key, which may name any tenant.
func (s *Service) knownTenant(ctx context.Context, tx *sql.Tx) error {
	n, err := store.Count(ctx, tx, `SELECT count(*) FROM iam_tenants WHERE id = ?`, httpapi.TenantID(ctx))
	if err == nil && n == 0 {
		return httpapi.NotFound("tenant")
	}
	return err
}

func (s *Service) answerAccount(r *http.Request, id string) (*accountView, error) {
	account, err := s.account(r.Context(), s.db, id)
	return &account, err
}

func (s *Service) editAccount(r *http.Request) (*accountView, error) {
	var body struct {
		Name        *string `json:"name"`
		Description *string `json:"description"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkName(body.Name, false); err != nil {
		return nil, err
	}
	id := chi.URLParam(r, "sa_uuid")
	if _, err := s.db.Exec(r.Context(), `UPDATE iam_service_accounts SET name = coalesce(?, name), description = coalesce(?, description)
		WHERE id = ? AND tenant_id = ?`, body.Name, body.Description, id, httpapi.TenantID(r.Context())); err != nil {
		return nil, err
	}
	return s.answerAccount(r, id)
}

// deleteAccount deletes the account and, by the tables' rules, its keys.
func (s *Service) deleteAccount(r *http.Request) error {
	n, err := s.db.Exec(r.Context(), `DELETE FROM iam_service_accounts WHERE id = ? AND tenant_id = ?`,
		chi.URLParam(r, "sa_uuid"), httpapi.TenantID(r.Context()))
	if err != nil {
		return err
	}
	if n == 0 {
		return httpapi.NotFound("service account")
	}
	return nil
}

func checkName(name *string, required bool) error {
	switch {
	case name == nil && required:
		return httpapi.Invalid("name: Field required")
	case name == nil:
		return nil
	case *name == "":
		return httpapi.Invalid("name: String should have at least 1 character")
	case len(*name) > 255:
		return httpapi.Invalid("name: String should have at most 255 characters")
	}
	return nil
}
