package oauth

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/oauth2"
)

const (
	sessionFile = "auth.yaml"
	early       = time.Minute // a token is refreshed so long before its end
)

// Session is what a sign-in left, in auth.yaml.
type Session struct {
	IAM          string    `yaml:"iam"` // the address where it was got; no other host gets it
	AccessToken  string    `yaml:"access_token"`
	RefreshToken string    `yaml:"refresh_token"`
	ExpiresAt    time.Time `yaml:"expires_at"`
}

func newSession(iam string, t *oauth2.Token) *Session {
	return &Session{IAM: iam, AccessToken: t.AccessToken, RefreshToken: t.RefreshToken, ExpiresAt: t.Expiry.UTC().Truncate(time.Second)}
}

// Claims are what an access token says of itself.
type Claims struct {
	Tenant string `json:"tenant_id"`
	Scope  string `json:"scope"`
	Expiry int64  `json:"exp"`
}

// ClaimsOf reads a token without verifying it: for showing only.
func ClaimsOf(token string) (c Claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return c
	}
	if text, err := base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
		_ = json.Unmarshal(text, &c)
	}
	return c
}

// For tells whether the session is for the host of an address.
func (s *Session) For(address string) bool {
	mine, err := url.Parse(s.IAM)
	other, err2 := url.Parse(address)
	return err == nil && err2 == nil && mine.Scheme == other.Scheme && mine.Host == other.Host
}

// Store keeps the session of a folder.
type Store struct {
	Dir string
	Now func() time.Time
}

func (s Store) path() string { return filepath.Join(s.Dir, sessionFile) }

// Load returns nil when nobody is signed in.
func (s Store) Load() (*Session, error) {
	data, err := os.ReadFile(s.path())
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || s.Dir == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the sign-in: %w", err)
	}
	var session Session
	if err := yaml.Unmarshal(data, &session); err != nil {
		return nil, fmt.Errorf("%s is not valid YAML; sign in again with mgc auth login", s.path())
	}
	return &session, nil
}

// Save replaces the session in one step; only the person may read it.
func (s Store) Save(session *Session) error {
	data, err := yaml.Marshal(session)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(s.Dir, sessionFile+".*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), s.path())
}

// Forget removes the session.
func (s Store) Forget() error {
	if err := os.Remove(s.path()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Token returns an access token that is good for a while, after refreshing it if it must. A refresh token works once, so only one
// process does that at a time, and the others take what it got.
func (s Store) Token(ctx context.Context, client *http.Client) (string, error) {
	session, err := s.Load()
	if err != nil {
		return "", err
	}
	if session == nil {
		return "", ErrEnded
	}
	if s.fresh(session) {
		return session.AccessToken, nil
	}
	unlock, err := s.Lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if session, err = s.Load(); err != nil {
		return "", err
	}
	if session == nil || session.RefreshToken == "" && !s.fresh(session) {
		return "", ErrEnded
	}
	if s.fresh(session) {
		return session.AccessToken, nil
	}
	server, err := Discover(ctx, client, session.IAM)
	if err != nil {
		return "", err
	}
	token, err := server.refresh(ctx, session.RefreshToken)
	var refused *Refused
	switch {
	case errors.As(err, &refused):
		return "", fmt.Errorf("%w: %w", ErrEnded, err)
	case err != nil:
		return "", err
	}
	session = newSession(session.IAM, token)
	return session.AccessToken, s.Save(session)
}

func (s Store) fresh(session *Session) bool { return session.ExpiresAt.Sub(s.Now()) > early }

const lockPoll = 20 * time.Millisecond

// Lock waits until no other process has the lock of the folder, which ends with its process.
func (s Store) Lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(s.path()+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := tryLock(file)
		if err != nil {
			return nil, errors.Join(err, file.Close())
		}
		if locked {
			return func() { _ = file.Close() }, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(lockPoll):
		}
	}
}
