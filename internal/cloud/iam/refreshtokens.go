package iam

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"magalu.cloud/mke/internal/cloud/store"
)

// refreshLife is how long a person who does nothing stays signed in.
const refreshLife = 7 * 24 * time.Hour

// refreshRequest is a program that wants to stay signed in. It implements op.RefreshTokenRequest.
type refreshRequest struct {
	family, tenantID, userID, client string
	scopes                           []string // that the person agreed to
	current                          []string // of these, those that are asked for now
	authTime                         time.Time
	audience                         string
}

func (r *refreshRequest) GetAMR() []string                 { return []string{"pwd"} }
func (r *refreshRequest) GetAudience() []string            { return []string{r.audience} }
func (r *refreshRequest) GetAuthTime() time.Time           { return r.authTime }
func (r *refreshRequest) GetClientID() string              { return r.client }
func (r *refreshRequest) GetScopes() []string              { return r.current }
func (r *refreshRequest) GetSubject() string               { return r.userID }
func (r *refreshRequest) SetCurrentScopes(scopes []string) { r.current = scopes }

// refreshToken returns what a refresh token stands for and whether it was used before; sql.ErrNoRows if there is none.
func (s *Service) refreshToken(ctx context.Context, text string) (r *refreshRequest, used bool, err error) {
	r = &refreshRequest{audience: s.audience()}
	var scopes, authTime string
	err = s.db.QueryRowContext(ctx, `SELECT family, tenant_id, user_id, client, scopes, auth_time, used FROM iam_refresh_tokens WHERE hash = ? AND expires_at > ?`,
		hash(text), store.Format(s.now())).Scan(&r.family, &r.tenantID, &r.userID, &r.client, &scopes, &authTime, &used)
	if err != nil {
		return nil, false, err
	}
	if r.authTime, err = store.Parse(authTime); err != nil {
		return nil, false, err
	}
	s.aboutPerson(ctx, r.userID, r.tenantID)
	err = json.Unmarshal([]byte(scopes), &r.scopes)
	r.current = r.scopes
	return r, used, err
}

// TokenRequestByRefreshToken refuses a token that was used before: somebody has a copy, so neither may go on.
func (s oauthStorage) TokenRequestByRefreshToken(ctx context.Context, text string) (op.RefreshTokenRequest, error) {
	r, used, err := s.refreshToken(ctx, text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, oidc.ErrInvalidGrant()
	}
	if err != nil {
		return nil, err
	}
	if used {
		return nil, errors.Join(oidc.ErrInvalidGrant(), s.endFamily(ctx, r.family))
	}
	if _, member, err := s.permissions(ctx, r.tenantID, r.userID); err != nil || !member {
		return nil, errors.Join(oidc.ErrInvalidGrant(), err)
	}
	return r, nil
}

func (s *Service) endFamily(ctx context.Context, family string) error {
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		for _, statement := range []string{`DELETE FROM iam_refresh_tokens WHERE family = ?`, `DELETE FROM iam_tokens WHERE family = ?`} {
			if _, err := tx.ExecContext(ctx, statement, family); err != nil {
				return err
			}
		}
		return nil
	})
}

// CreateAccessAndRefreshTokens is for people who stay signed in: at first, and then each time for the refresh token they had.
func (s oauthStorage) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (id, refresh string, expires time.Time, err error) {
	var r *refreshRequest
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		switch from := request.(type) {
		case *authRequest:
			r = &refreshRequest{family: uuid.NewString(), tenantID: from.tenantID, userID: from.userID, client: from.ClientID,
				scopes: from.Scopes, current: from.Scopes, authTime: from.authTime}
			err = s.consume(ctx, tx, from)
		case *refreshRequest:
			r = from
			err = useOnce(ctx, tx, current)
		default:
			err = errNotOffered
		}
		if err != nil {
			return err
		}
		if refresh, err = s.recordRefreshToken(ctx, tx, r); err != nil {
			return err
		}
		id, expires, err = s.recordToken(ctx, tx, token{tenantID: r.tenantID, subjectType: "user", subject: r.userID, family: r.family, scopes: knownScopes(r.current)})
		return err
	})
	return id, refresh, expires, err
}

// useOnce decides between two who come at the same time.
func useOnce(ctx context.Context, tx *sql.Tx, text string) error {
	result, err := tx.ExecContext(ctx, `UPDATE iam_refresh_tokens SET used = 1 WHERE hash = ? AND used = 0`, hash(text))
	if err != nil {
		return err
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return oidc.ErrInvalidGrant()
	}
	return err
}

func (s *Service) recordRefreshToken(ctx context.Context, tx *sql.Tx, r *refreshRequest) (string, error) {
	scopes, err := encodeSet(r.scopes)
	if err != nil {
		return "", err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM iam_refresh_tokens WHERE expires_at < ?`, store.Format(s.now())); err != nil {
		return "", err
	}
	text := rand.Text() + rand.Text()
	_, err = tx.ExecContext(ctx, `INSERT INTO iam_refresh_tokens (hash, family, tenant_id, user_id, client, scopes, auth_time, expires_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, hash(text), r.family, r.tenantID, r.userID, r.client, scopes, store.Format(r.authTime), store.Format(s.now().Add(refreshLife)))
	return text, err
}

// GetRefreshTokenInfo finds whose token is to be revoked; what is revoked is its family.
func (s oauthStorage) GetRefreshTokenInfo(ctx context.Context, client, text string) (userID, family string, err error) {
	r, _, err := s.refreshToken(ctx, text)
	if errors.Is(err, sql.ErrNoRows) || (err == nil && r.client != client) {
		return "", "", op.ErrInvalidRefreshToken
	}
	if err != nil {
		return "", "", err
	}
	return r.userID, r.family, nil
}
