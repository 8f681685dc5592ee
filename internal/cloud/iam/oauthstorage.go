package iam

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// oauthStorage is the Service as the OAuth library sees it.
type oauthStorage struct{ *Service }

var (
	_ op.Storage                        = oauthStorage{}
	_ op.ClientCredentialsStorage       = oauthStorage{}
	_ op.CanGetPrivateClaimsFromRequest = oauthStorage{}
)

var errNotOffered = oidc.ErrUnsupportedGrantType().WithDescription("this is not offered")

func (s oauthStorage) AuthRequestByID(ctx context.Context, id string) (op.AuthRequest, error) {
	return s.authRequest(ctx, id)
}

func (s oauthStorage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	return s.authRequestByCode(ctx, code)
}

// DeleteAuthRequest comes after the exchange, which has done it.
func (s oauthStorage) DeleteAuthRequest(context.Context, string) error { return nil }

func (s oauthStorage) CreateAccessToken(ctx context.Context, request op.TokenRequest) (id string, expires time.Time, err error) {
	switch r := request.(type) {
	case *authRequest:
		err = s.db.Tx(ctx, func(tx *sql.Tx) error {
			if err := s.consume(ctx, tx, r); err != nil {
				return err
			}
			id, expires, err = s.recordToken(ctx, tx, token{tenantID: r.tenantID, subjectType: "user", subject: r.userID, scopes: knownScopes(r.Scopes)})
			return err
		})
		return id, expires, err
	case *keyRequest:
		err = s.db.Tx(ctx, func(tx *sql.Tx) error {
			id, expires, err = s.recordToken(ctx, tx, r.token)
			return err
		})
		return id, expires, err
	}
	return "", time.Time{}, errNotOffered
}

// GetPrivateClaimsFromRequest adds the organization and the scopes.
func (s oauthStorage) GetPrivateClaimsFromRequest(_ context.Context, request op.TokenRequest, _ []string) (map[string]any, error) {
	claims := map[string]any{"scope": strings.Join(knownScopes(request.GetScopes()), " ")}
	switch r := request.(type) {
	case *authRequest:
		claims["tenant_id"] = r.tenantID
	case *refreshRequest:
		claims["tenant_id"] = r.tenantID
	case *keyRequest:
		claims["tenant_id"] = r.tenantID
	}
	return claims, nil
}

// RevokeToken ends an access token, or everything that came of a sign-in, at once.
func (s oauthStorage) RevokeToken(ctx context.Context, id, subject, clientID string) *oidc.Error {
	s.aboutToken(ctx, id)
	if _, err := s.db.Exec(ctx, `DELETE FROM iam_tokens WHERE id = ? AND subject = ? AND (key_id = ? OR (key_id = '' AND ? = ?))`,
		id, subject, clientID, clientID, cliClient.id); err != nil {
		return oidc.ErrServerError().WithParent(err)
	}
	if err := s.endFamily(ctx, id); err != nil { // an access token's id is no family
		return oidc.ErrServerError().WithParent(err)
	}
	return nil
}

func (s oauthStorage) SigningKey(ctx context.Context) (op.SigningKey, error) {
	return s.currentKey(ctx)
}

func (s oauthStorage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s oauthStorage) KeySet(ctx context.Context) ([]op.Key, error) {
	keys, err := s.publishedKeys(ctx)
	if err != nil {
		return nil, err
	}
	var public []op.Key
	for _, k := range keys {
		public = append(public, publicKey{k})
	}
	return public, nil
}

// SetUserinfoFromToken tells about the person whose token it is.
func (s oauthStorage) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, tokenID, subject, _ string) error {
	if _, err := s.token(ctx, tokenID); err != nil {
		return err
	}
	return s.SetUserinfoFromScopes(ctx, info, subject, "", []string{oidc.ScopeEmail, oidc.ScopeProfile})
}

func (s oauthStorage) SetUserinfoFromScopes(ctx context.Context, info *oidc.UserInfo, userID, _ string, _ []string) error {
	info.Subject = userID
	err := s.db.QueryRowContext(ctx, `SELECT email, name FROM iam_users WHERE id = ?`, userID).Scan(&info.Email, &info.Name)
	if errors.Is(err, sql.ErrNoRows) { // a service account
		return nil
	}
	return err
}

func (s oauthStorage) Health(ctx context.Context) error {
	_, err := s.TenantExists(ctx, platformTenant)
	return err
}

// What the library could do and we do not offer.

func (s oauthStorage) TerminateSession(context.Context, string, string) error { return nil }

func (s oauthStorage) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errNotOffered
}

func (s oauthStorage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, errNotOffered
}

func (s oauthStorage) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errNotOffered
}

func (s oauthStorage) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errNotOffered
}

// keyRequest is a program that wants a token for its API key.
type keyRequest struct {
	token
	audience string
}

func (r *keyRequest) GetSubject() string    { return r.subject }
func (r *keyRequest) GetAudience() []string { return []string{r.audience} }
func (r *keyRequest) GetScopes() []string   { return r.scopes }

// ClientCredentials: a program is the API key of a service account; its id is the key's, its secret the key itself.
func (s oauthStorage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return keyClient(id), nil
}

func (s oauthStorage) AuthorizeClientIDSecret(ctx context.Context, id, secret string) error {
	s.aboutKey(ctx, id)
	if _, err := s.Authenticate(ctx, secret); errors.Is(err, httpapi.ErrUnknownKey) {
		return err
	} else if err != nil {
		return oidc.ErrServerError().WithParent(err)
	}
	found, err := store.Text(s.db.QueryRowContext(ctx, `SELECT id FROM iam_api_keys WHERE hash = ? AND subject_type = 'service_account'`, hash(secret)))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return oidc.ErrServerError().WithParent(err)
	}
	if found != id {
		return store.ErrNotFound
	}
	return nil
}

// ClientCredentialsTokenRequest gives the scopes that were asked for, or all that the key has; never more than the key has.
func (s oauthStorage) ClientCredentialsTokenRequest(ctx context.Context, id string, scopes []string) (op.TokenRequest, error) {
	r := &keyRequest{audience: s.audience(), token: token{keyID: id, subjectType: "service_account"}}
	key, err := scanKey(s.db.QueryRowContext(ctx, selectKey+`WHERE id = ?`, id))
	if err != nil {
		return nil, err
	}
	if err := s.db.QueryRowContext(ctx, `SELECT tenant_id, subject FROM iam_api_keys WHERE id = ?`, id).Scan(&r.tenantID, &r.subject); err != nil {
		return nil, err
	}
	if r.scopes = key.Scopes; len(scopes) > 0 {
		r.scopes = scopes
	}
	for _, scope := range r.scopes {
		if !(httpapi.Identity{Scopes: key.Scopes}).Allows(scope) {
			return nil, oidc.ErrInvalidScope().WithDescription("the API key lacks a scope that was asked for")
		}
	}
	return r, nil
}
