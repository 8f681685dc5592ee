package iam

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// tokenLife is how long an access token is good.
const tokenLife = 30 * time.Minute

// token is what an access token stands for.
type token struct {
	tenantID, subjectType, subject string
	keyID                          string // of the API key that a program got it with
	family                         string // of the refresh tokens of a person
	scopes                         []string
}

// recordToken makes a token good and returns its id, which is in the JWT as jti. Rows of tokens that are over go.
func (s *Service) recordToken(ctx context.Context, tx *sql.Tx, t token) (id string, expires time.Time, err error) {
	scopes, err := encodeSet(t.scopes)
	if err != nil {
		return "", time.Time{}, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM iam_tokens WHERE expires_at < ?`, store.Format(s.now())); err != nil {
		return "", time.Time{}, err
	}
	id, expires = uuid.NewString(), s.now().Add(tokenLife)
	_, err = tx.ExecContext(ctx, `INSERT INTO iam_tokens (id, tenant_id, subject_type, subject, key_id, family, scopes, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		id, t.tenantID, t.subjectType, t.subject, t.keyID, t.family, scopes, store.Format(expires))
	return id, expires, err
}

// authenticateToken finds whose access token it is: the signature proves that it is ours, the record that it is still good.
func (s *Service) authenticateToken(ctx context.Context, text string) (httpapi.Identity, error) {
	id, err := s.verify(ctx, text)
	if err != nil {
		return httpapi.Identity{}, err
	}
	t, err := s.token(ctx, id)
	if err != nil {
		return httpapi.Identity{}, err
	}
	return s.withPermissions(ctx, httpapi.Identity{TenantID: t.tenantID, Subject: t.subject, SubjectType: t.subjectType, KeyID: t.keyID, Scopes: t.scopes})
}

// verify returns the token's id. Only ES256 is accepted, whatever the token says about itself.
func (s *Service) verify(ctx context.Context, text string) (string, error) {
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || len(parsed.Headers) != 1 {
		return "", httpapi.ErrUnknownKey
	}
	key, err := s.keyByID(ctx, parsed.Headers[0].KeyID)
	if errors.Is(err, sql.ErrNoRows) {
		return "", httpapi.ErrUnknownKey
	}
	if err != nil {
		return "", fmt.Errorf("look up signing key: %w", err)
	}
	var claims jwt.Claims
	if parsed.Claims(&key.private.PublicKey, &claims) != nil || claims.Expiry == nil {
		return "", httpapi.ErrUnknownKey
	}
	expected := jwt.Expected{Issuer: s.issuer, AnyAudience: jwt.Audience{s.audience()}, Time: s.now()}
	if claims.ValidateWithLeeway(expected, time.Second) != nil {
		return "", httpapi.ErrUnknownKey
	}
	return claims.ID, nil
}

// token returns what is recorded; ErrUnknownKey if the token was revoked, is over, or was got with an API key that is not valid any more.
func (s *Service) token(ctx context.Context, id string) (token, error) {
	var t token
	var scopes string
	now := store.Format(s.now())
	err := s.db.QueryRowContext(ctx, `SELECT tenant_id, subject_type, subject, key_id, scopes FROM iam_tokens t WHERE id = ?1 AND expires_at > ?2
		AND (key_id = '' OR EXISTS (SELECT 1 FROM iam_api_keys k WHERE k.id = t.key_id AND k.revoked_at = '' AND (k.end_validity = '' OR k.end_validity > ?2)))`,
		id, now).Scan(&t.tenantID, &t.subjectType, &t.subject, &t.keyID, &scopes)
	if errors.Is(err, sql.ErrNoRows) {
		return t, httpapi.ErrUnknownKey
	}
	if err != nil {
		return t, fmt.Errorf("look up access token: %w", err)
	}
	return t, json.Unmarshal([]byte(scopes), &t.scopes)
}
