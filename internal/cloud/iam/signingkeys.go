package iam

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/store"
)

const (
	// keyRotation is how long a key signs.
	keyRotation = 24 * time.Hour
	// keyLife is how long it is published: longer than it signs by more than any token lives.
	keyLife = keyRotation + 2*time.Hour
)

// signingKey is a key that signs access tokens, always with ES256.
type signingKey struct {
	id      string
	private *ecdsa.PrivateKey
}

func (k signingKey) ID() string                                  { return k.id }
func (k signingKey) Key() any                                    { return k.private }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }

// publicKey is what verifiers see of a signingKey.
type publicKey struct{ signingKey }

func (k publicKey) Key() any                           { return &k.private.PublicKey }
func (k publicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (k publicKey) Use() string                        { return "sig" }

const selectSigningKey = `SELECT id, private FROM iam_signing_keys `

func scanSigningKey(row store.Scanner) (signingKey, error) {
	var k signingKey
	var private string
	if err := row.Scan(&k.id, &private); err != nil {
		return k, err
	}
	der, err := base64.StdEncoding.DecodeString(private)
	if err != nil {
		return k, fmt.Errorf("signing key: %w", err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return k, fmt.Errorf("signing key: %w", err)
	}
	var ok bool
	if k.private, ok = parsed.(*ecdsa.PrivateKey); !ok {
		return k, errors.New("signing key: not an ECDSA key")
	}
	return k, nil
}

// currentKey returns the key to sign with; it makes a new one when the last is old.
func (s *Service) currentKey(ctx context.Context) (signingKey, error) {
	since := store.Format(s.now().Add(-keyRotation))
	newest := func(q store.Queryer) (signingKey, error) {
		return scanSigningKey(q.QueryRowContext(ctx, selectSigningKey+`WHERE created_at > ? ORDER BY created_at DESC LIMIT 1`, since))
	}
	key, err := newest(s.db)
	if !errors.Is(err, sql.ErrNoRows) {
		return key, err
	}
	err = s.db.Tx(ctx, func(tx *sql.Tx) error {
		if key, err = newest(tx); !errors.Is(err, sql.ErrNoRows) {
			return err // somebody else has made one
		}
		key, err = s.newKey(ctx, tx)
		return err
	})
	return key, err
}

func (s *Service) newKey(ctx context.Context, tx *sql.Tx) (signingKey, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return signingKey{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return signingKey{}, err
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM iam_signing_keys WHERE created_at < ?`, store.Format(s.now().Add(-keyLife))); err != nil {
		return signingKey{}, err
	}
	key := signingKey{uuid.NewString(), private}
	_, err = tx.ExecContext(ctx, `INSERT INTO iam_signing_keys (id, private, created_at) VALUES (?, ?, ?)`,
		key.id, base64.StdEncoding.EncodeToString(der), store.Format(s.now()))
	return key, err
}

// keyByID returns a key that may have signed a token that is still good.
func (s *Service) keyByID(ctx context.Context, id string) (signingKey, error) {
	return scanSigningKey(s.db.QueryRowContext(ctx, selectSigningKey+`WHERE id = ? AND created_at > ?`, id, store.Format(s.now().Add(-keyLife))))
}

func (s *Service) publishedKeys(ctx context.Context) ([]signingKey, error) {
	return list(ctx, s.db, scanSigningKey, selectSigningKey+`WHERE created_at > ? ORDER BY created_at DESC`, store.Format(s.now().Add(-keyLife)))
}
