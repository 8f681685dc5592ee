package iam

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/bcrypt"

	"magalu.cloud/mke/internal/cloud/store"
)

// passwordCost makes a guess take more than a tenth of a second; tests lower it.
var passwordCost = bcrypt.DefaultCost + 1

const (
	minPassword      = 10
	maxPassword      = 72 // bcrypt takes no more
	passwordsAtATime = 2  // so that guessing does not take the machine
)

// SetPassword lets a person sign in. With an organization, given by id or name, it makes them its owner, so that it has somebody who can.
func (s *Service) SetPassword(ctx context.Context, email, organization, password string) error {
	if err := checkEmail("email", email); err != nil {
		return err
	}
	if len(password) < minPassword || len(password) > maxPassword {
		return fmt.Errorf("a password must have %d to %d bytes", minPassword, maxPassword)
	}
	hashed, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		if organization != "" {
			if err := s.makeOwner(ctx, tx, email, organization); err != nil {
				return err
			}
		}
		result, err := tx.ExecContext(ctx, `UPDATE iam_users SET password_hash = ? WHERE email = ?`, string(hashed), email)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			return fmt.Errorf("nobody has the address %s; name the organization that they are to own", email)
		}
		return err
	})
}

func (s *Service) makeOwner(ctx context.Context, tx *sql.Tx, email, organization string) error {
	tenantID, err := store.Text(tx.QueryRowContext(ctx, `SELECT id FROM iam_tenants WHERE id = ?1 OR legal_name = ?1`, organization))
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("there is no organization %q", organization)
	}
	if err != nil {
		return err
	}
	userID, err := s.ensureUser(ctx, tx, email)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO iam_members (tenant_id, user_id, profile, created_at) VALUES (?, ?, 'owner', ?)
		ON CONFLICT (tenant_id, user_id) DO UPDATE SET profile = 'owner'`, tenantID, userID, store.Format(s.now()))
	return err
}

var errWrongPassword = errors.New("wrong address or password")

// nobodysPassword takes as long to compare as a real one, so that time does not tell who has an account.
var nobodysPassword = sync.OnceValues(func() ([]byte, error) { return bcrypt.GenerateFromPassword([]byte("nobody's"), passwordCost) })

// checkPassword returns whose address and password it is.
func (s *Service) checkPassword(ctx context.Context, email, password string) (userID string, err error) {
	var hashed string
	err = s.db.QueryRowContext(ctx, `SELECT id, password_hash FROM iam_users WHERE email = ?`, email).Scan(&userID, &hashed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", err
	}
	compareWith, known := []byte(hashed), hashed != ""
	if !known {
		if compareWith, err = nobodysPassword(); err != nil {
			return "", err
		}
	}
	select {
	case s.comparing <- struct{}{}:
		defer func() { <-s.comparing }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if bcrypt.CompareHashAndPassword(compareWith, []byte(password)) != nil || !known {
		return "", errWrongPassword
	}
	return userID, nil
}
