package iam

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"magalu.cloud/mke/internal/cloud/store"
)

const (
	signInLife = 10 * time.Minute // how long a person may take to sign in
	codeLife   = time.Minute      // how long a program may take to exchange its code
)

// authRequest is a person who is signing in. It implements op.AuthRequest.
type authRequest struct {
	oidc.AuthRequest
	id, userID, tenantID string
	audience             string
	authTime             time.Time
}

func (a *authRequest) GetID() string                      { return a.id }
func (a *authRequest) GetACR() string                     { return "" }
func (a *authRequest) GetAMR() []string                   { return []string{"pwd"} }
func (a *authRequest) GetAudience() []string              { return []string{a.audience} }
func (a *authRequest) GetAuthTime() time.Time             { return a.authTime }
func (a *authRequest) GetClientID() string                { return a.ClientID }
func (a *authRequest) GetNonce() string                   { return a.Nonce }
func (a *authRequest) GetScopes() []string                { return a.Scopes }
func (a *authRequest) GetSubject() string                 { return a.userID }
func (a *authRequest) Done() bool                         { return a.tenantID != "" }
func (a *authRequest) GetState() string                   { return a.State }
func (a *authRequest) GetRedirectURI() string             { return a.RedirectURI }
func (a *authRequest) GetResponseType() oidc.ResponseType { return a.ResponseType }
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return a.ResponseMode }

func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: a.CodeChallenge, Method: a.CodeChallengeMethod}
}

const selectAuthRequest = `SELECT id, request, user_id, tenant_id, auth_time FROM iam_auth_requests `

func (s *Service) scanAuthRequest(row store.Scanner) (*authRequest, error) {
	a := &authRequest{audience: s.audience()}
	var request, authTime string
	if err := row.Scan(&a.id, &request, &a.userID, &a.tenantID, &authTime); err != nil {
		return nil, err
	}
	var err error
	if a.authTime, err = store.Parse(authTime); err != nil {
		return nil, err
	}
	return a, json.Unmarshal([]byte(request), &a.AuthRequest)
}

// CreateAuthRequest records that somebody begins to sign in. PKCE is required, with S256.
func (s oauthStorage) CreateAuthRequest(ctx context.Context, request *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if request.CodeChallenge == "" || request.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("code_challenge with the method S256 is required")
	}
	data, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	a := &authRequest{AuthRequest: *request, id: uuid.NewString(), audience: s.audience()}
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM iam_auth_requests WHERE expires_at < ?`, store.Format(s.now())); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO iam_auth_requests (id, request, browser, expires_at) VALUES (?, ?, ?, ?)`,
			a.id, string(data), browserOf(ctx), store.Format(s.now().Add(signInLife)))
		return err
	})
	return a, err
}

var errNoAuthRequest = errors.New("this sign-in is over, or began in another browser")

// authRequest returns the sign-in with the id if it began in the browser that asks.
func (s *Service) authRequest(ctx context.Context, id string) (*authRequest, error) {
	a, err := s.scanAuthRequest(s.db.QueryRowContext(ctx, selectAuthRequest+`WHERE id = ? AND browser = ? AND browser <> '' AND expires_at > ?`,
		id, browserOf(ctx), store.Format(s.now())))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoAuthRequest
	}
	return a, err
}

func (s *Service) authRequestByCode(ctx context.Context, code string) (*authRequest, error) {
	a, err := s.scanAuthRequest(s.db.QueryRowContext(ctx, selectAuthRequest+`WHERE code_hash = ? AND code_hash <> '' AND expires_at > ?`,
		hash(code), store.Format(s.now())))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errors.New("the code is unknown, used or over")
	}
	if err == nil {
		s.aboutPerson(ctx, a.userID, a.tenantID)
	}
	return a, err
}

// SaveAuthCode remembers the code, once: who asks for the answer again gets none.
func (s oauthStorage) SaveAuthCode(ctx context.Context, id, code string) error {
	n, err := s.db.Exec(ctx, `UPDATE iam_auth_requests SET code_hash = ?, expires_at = ? WHERE id = ? AND tenant_id <> '' AND code_hash = ''`,
		hash(code), store.Format(s.now().Add(codeLife)), id)
	if err == nil && n == 0 {
		return errNoAuthRequest
	}
	return err
}

// consume ends a sign-in whose code is exchanged: a code works once, also when it comes twice at the same time.
func (s *Service) consume(ctx context.Context, tx *sql.Tx, a *authRequest) error {
	result, err := tx.ExecContext(ctx, `DELETE FROM iam_auth_requests WHERE id = ?`, a.id)
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return oidc.ErrInvalidGrant().WithDescription("the code is unknown, used or over")
	}
	return err
}

// signedIn says who it is, and, once that is decided, for which organization.
func (s *Service) signedIn(ctx context.Context, id, userID, tenantID string) error {
	n, err := s.db.Exec(ctx, `UPDATE iam_auth_requests SET user_id = ?, tenant_id = ?, auth_time = ? WHERE id = ? AND tenant_id = ''`,
		userID, tenantID, store.Format(s.now()), id)
	if err == nil && n == 0 {
		return fmt.Errorf("sign-in %s: %w", id, errNoAuthRequest)
	}
	return err
}
