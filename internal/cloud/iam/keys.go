package iam

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// keyView is a key as published. APIKey is filled in the answer to its creation only.
type keyView struct {
	UUID                  string   `json:"uuid"`
	Name                  string   `json:"name"`
	Description           string   `json:"description"`
	APIKey                *string  `json:"api_key,omitempty"`
	Scopes                []string `json:"scopes"`
	ScopesPendingApproval []string `json:"scopes_pending_approval"`
	StartValidity         string   `json:"start_validity"`
	EndValidity           *string  `json:"end_validity"`
	RevokedAt             *string  `json:"revoked_at"`
	RevokedBy             *string  `json:"revoked_by"`
}

const selectKey = `SELECT id, name, description, scopes, start_validity, end_validity, revoked_at, revoked_by FROM iam_api_keys `

func scanKey(row store.Scanner) (keyView, error) {
	k := keyView{ScopesPendingApproval: []string{}}
	var scopes, end, revokedAt, revokedBy string
	err := row.Scan(&k.UUID, &k.Name, &k.Description, &scopes, &k.StartValidity, &end, &revokedAt, &revokedBy)
	if err != nil {
		return k, err
	}
	k.EndValidity, k.RevokedAt, k.RevokedBy = optional(end), optional(revokedAt), optional(revokedBy)
	return k, json.Unmarshal([]byte(scopes), &k.Scopes)
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s *Service) key(ctx context.Context, accountID, id string) (keyView, error) {
	k, err := store.Row(ctx, s.db, scanKey, selectKey+`WHERE id = ? AND service_account_id = ? AND tenant_id = ?`, id, accountID, httpapi.TenantID(ctx))
	if errors.Is(err, store.ErrNotFound) {
		return k, httpapi.NotFound("API key")
	}
	return k, err
}

func (s *Service) listKeys(r *http.Request) ([]keyView, error) {
	status, err := httpapi.ChoiceParam(r, "status", "only those in this state", "active", "revoked")
	if err != nil {
		return nil, err
	}
	account, err := s.account(r.Context(), s.db, chi.URLParam(r, "sa_uuid"))
	if err != nil {
		return nil, err
	}
	keys, err := list(r.Context(), s.db, scanKey, selectKey+`WHERE service_account_id = ?1
		AND (?2 = '' OR (?2 = 'revoked') = (revoked_at <> '')) ORDER BY start_validity, id`, account.UUID, status)
	if err != nil {
		return nil, err
	}
	return keys, nil
}

func (s *Service) createKey(r *http.Request) (*keyView, error) {
	var body struct {
		Name        *string  `json:"name"`
		Description string   `json:"description"`
		Scopes      []string `json:"scopes"`
		EndValidity *string  `json:"end_validity"` // our addition: published keys do not expire
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkName(body.Name, true); err != nil {
		return nil, err
	}
	end, err := s.checkEnd(body.EndValidity)
	if err != nil {
		return nil, err
	}
	if err := checkScopes(httpapi.IdentityOf(r.Context()), body.Scopes); err != nil {
		return nil, err
	}
	if body.Scopes == nil {
		body.Scopes = []string{}
	}
	scopes, err := json.Marshal(body.Scopes)
	if err != nil {
		return nil, err
	}

	id, secret := uuid.NewString(), uuid.NewString()
	err = s.db.Tx(r.Context(), func(tx *sql.Tx) error {
		account, err := s.account(r.Context(), tx, chi.URLParam(r, "sa_uuid"))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(r.Context(), `INSERT INTO iam_api_keys
			(id, tenant_id, service_account_id, subject_type, subject, name, description, hash, scopes, start_validity, end_validity)
			VALUES (?, ?, ?, 'service_account', ?, ?, ?, ?, ?, ?, ?)`,
			id, account.Tenant.UUID, account.UUID, account.UUID, *body.Name, body.Description, hash(secret), string(scopes), store.Format(s.now()), end)
		return err
	})
	if err != nil {
		return nil, err
	}
	key, err := s.key(r.Context(), chi.URLParam(r, "sa_uuid"), id)
	if err != nil {
		return nil, err
	}
	key.APIKey = &secret
	return &key, nil
}

// checkEnd returns the end of a key's validity as it is stored, empty if it has none.
func (s *Service) checkEnd(text *string) (string, error) {
	if text == nil {
		return "", nil
	}
	end, err := time.Parse(time.RFC3339, *text)
	if err != nil || !end.After(s.now()) {
		return "", httpapi.Invalid("end_validity: Input should be a time in the future, such as 2030-01-31T12:00:00Z")
	}
	return store.Format(end), nil
}

func (s *Service) editKey(r *http.Request) (*keyView, error) {
	var body struct {
		Name        *string   `json:"name"`
		Description *string   `json:"description"`
		Scopes      *[]string `json:"scopes"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	if err := checkName(body.Name, false); err != nil {
		return nil, err
	}
	var scopes *string
	if body.Scopes != nil {
		if err := checkScopes(httpapi.IdentityOf(r.Context()), *body.Scopes); err != nil {
			return nil, err
		}
		encoded, err := json.Marshal(*body.Scopes)
		if err != nil {
			return nil, err
		}
		scopes = optional(string(encoded))
	}
	account, id := chi.URLParam(r, "sa_uuid"), chi.URLParam(r, "apikey_uuid")
	if _, err := s.db.Exec(r.Context(), `UPDATE iam_api_keys
		SET name = coalesce(?, name), description = coalesce(?, description), scopes = coalesce(?, scopes)
		WHERE id = ? AND service_account_id = ? AND tenant_id = ?`,
		body.Name, body.Description, scopes, id, account, httpapi.TenantID(r.Context())); err != nil {
		return nil, err
	}
	key, err := s.key(r.Context(), account, id)
	if err != nil {
		return nil, err
	}
	return &key, nil
}

// revokeKey ends a key's validity at once; revoking again changes nothing.
func (s *Service) revokeKey(r *http.Request) error {
	account, id := chi.URLParam(r, "sa_uuid"), chi.URLParam(r, "apikey_uuid")
	if _, err := s.key(r.Context(), account, id); err != nil {
		return err
	}
	identity := httpapi.IdentityOf(r.Context())
	if _, err := s.db.Exec(r.Context(), `UPDATE iam_api_keys SET revoked_at = ?, revoked_by = ?
		WHERE id = ? AND tenant_id = ? AND revoked_at = ''`, store.Format(s.now()), identity.Subject, id, identity.TenantID); err != nil {
		return err
	}
	return nil
}
