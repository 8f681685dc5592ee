// Package iam is the local cloud's identity service on the published paths: organizations (tenants), members, groups, roles and
// permissions, service accounts and API keys. Keys are shown once and kept as SHA-256.
package iam

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/go-chi/httprate"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Service is the identity service.
type Service struct {
	db         *store.DB
	now        func() time.Time
	issuer     string // of access tokens: the URL of /iam in the region
	provider   http.Handler
	limits     signInLimits
	refusals   *httprate.RateLimiter
	maxRecords int
	comparing  chan struct{}
}

// New returns the service on db and brings its tables up to date. issuer is the URL under which it is reached.
func New(ctx context.Context, db *store.DB, issuer string) (*Service, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx, "iam", files); err != nil {
		return nil, err
	}
	s := &Service{db: db, now: time.Now, issuer: issuer, limits: newSignInLimits(), refusals: newRefusals(), maxRecords: maxWaitingRecords,
		comparing: make(chan struct{}, passwordsAtATime)}
	if s.provider, err = s.newProvider(); err != nil {
		return nil, err
	}
	return s, nil
}

// Bootstrap is what exists from the first start on; `mke up` decides it.
type Bootstrap struct {
	PlatformAPIKey string            `json:"platform_api_key"`
	Tenants        []BootstrapTenant `json:"tenants"`
}

// BootstrapTenant is a tenant and the key of its first user.
type BootstrapTenant struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	APIKey string `json:"api_key"`
}

// platformTenant owns the platform's key; it has no objects of its own.
const platformTenant = "00000000-0000-4000-8000-000000000000"

// ApplyBootstrap makes the tenants and keys of b where they do not exist. A key
// of an earlier bootstrap that b no longer has is revoked.
func (s *Service) ApplyBootstrap(ctx context.Context, b Bootstrap) error {
	if err := b.validate(); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		if err := s.ensureTenant(ctx, tx, platformTenant, "Platform"); err != nil {
			return err
		}
		if err := s.ensureUserKey(ctx, tx, platformTenant, "platform", b.PlatformAPIKey); err != nil {
			return err
		}
		for _, tenant := range b.Tenants {
			if err := s.ensureTenant(ctx, tx, tenant.ID, tenant.Name); err != nil {
				return err
			}
			if err := s.ensureUserKey(ctx, tx, tenant.ID, "user", tenant.APIKey); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b Bootstrap) validate() error {
	if uuid.Validate(b.PlatformAPIKey) != nil {
		return errors.New("platform_api_key must be a UUID")
	}
	for _, tenant := range b.Tenants {
		if uuid.Validate(tenant.ID) != nil || uuid.Validate(tenant.APIKey) != nil {
			return fmt.Errorf("tenant %q: id and api_key must be UUIDs", tenant.Name)
		}
	}
	return nil
}

func (s *Service) ensureTenant(ctx context.Context, tx *sql.Tx, id, name string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO iam_tenants (id, legal_name, created_at) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET legal_name = excluded.legal_name`, id, name, store.Format(s.now()))
	return err
}

func (s *Service) ensureUserKey(ctx context.Context, tx *sql.Tx, tenantID, subjectType, key string) error {
	now := store.Format(s.now())
	if _, err := tx.ExecContext(ctx, `UPDATE iam_api_keys SET revoked_at = ?, revoked_by = 'bootstrap'
		WHERE tenant_id = ? AND subject_type = ? AND hash <> ? AND revoked_at = ''`, now, tenantID, subjectType, hash(key)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO iam_api_keys
		(id, tenant_id, subject_type, subject, name, description, hash, scopes, start_validity)
		VALUES (?, ?, ?, ?, ?, '', ?, '["*"]', ?)
		ON CONFLICT (hash) DO UPDATE SET revoked_at = '', revoked_by = ''`,
		uuid.NewString(), tenantID, subjectType, tenantID, subjectType, hash(key), now)
	return err
}

func hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Authenticate finds whose key or access token it is. It returns httpapi.ErrUnknownKey for one
// that is unknown, revoked or out of its validity.
func (s *Service) Authenticate(ctx context.Context, key string) (httpapi.Identity, error) {
	if strings.Contains(key, ".") {
		return s.authenticateToken(ctx, key)
	}
	var id httpapi.Identity
	var scopes, start, end, revoked string
	err := s.db.QueryRowContext(ctx, `SELECT id, tenant_id, subject, subject_type, scopes, start_validity, end_validity, revoked_at
		FROM iam_api_keys WHERE hash = ?`, hash(key)).
		Scan(&id.KeyID, &id.TenantID, &id.Subject, &id.SubjectType, &scopes, &start, &end, &revoked)
	switch now := store.Format(s.now()); {
	case errors.Is(err, sql.ErrNoRows):
		return httpapi.Identity{}, httpapi.ErrUnknownKey
	case err != nil:
		return httpapi.Identity{}, fmt.Errorf("look up API key: %w", err)
	case revoked != "" || start > now || (end != "" && end <= now):
		return httpapi.Identity{}, httpapi.ErrUnknownKey
	}
	if err := json.Unmarshal([]byte(scopes), &id.Scopes); err != nil {
		return httpapi.Identity{}, fmt.Errorf("scopes of API key: %w", err)
	}
	id.Platform = id.SubjectType == "platform"
	return s.withPermissions(ctx, id)
}

// withPermissions adds what the identity may do. Permissions are for people: what a service account may do is bounded by the scopes of
// its keys, and an organization's own key, which has the organization as its subject, may do everything.
func (s *Service) withPermissions(ctx context.Context, id httpapi.Identity) (httpapi.Identity, error) {
	id.Permissions = []string{access.All}
	if id.SubjectType != "user" || id.Subject == id.TenantID {
		return id, nil
	}
	permissions, member, err := s.permissions(ctx, id.TenantID, id.Subject)
	switch {
	case err != nil:
		return httpapi.Identity{}, fmt.Errorf("permissions of a member: %w", err)
	case !member:
		return httpapi.Identity{}, httpapi.ErrUnknownKey
	}
	id.Permissions = permissions
	return id, nil
}

// TenantExists tells whether there is such a tenant.
func (s *Service) TenantExists(ctx context.Context, id string) (bool, error) {
	n, err := store.Count(ctx, s.db, `SELECT count(*) FROM iam_tenants WHERE id = ?`, id)
	return n > 0, err
}
