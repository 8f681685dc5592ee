// Package profile is the local cloud's global product for data of users:
// availability zones and SSH public keys.
package profile

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Service is the profile product.
type Service struct {
	db     *store.DB
	region string
	zones  []string
}

// New returns the service of a region with these zones and brings its tables up to date.
func New(ctx context.Context, db *store.DB, region string, zones []string) (*Service, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return &Service{db: db, region: region, zones: zones}, db.Migrate(ctx, "profile", files)
}

// Register adds the published routes, relative to the product /profile.
func (s *Service) Register(r chi.Router) {
	handle := func(fn func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
		return httpapi.Handler(httpapi.SlugMessage, fn)
	}
	r.Get("/v0/availability-zones", s.listZones)
	r.Get("/v0/ssh-keys", handle(s.listKeys))
	r.Post("/v0/ssh-keys", handle(s.createKey))
	r.Get("/v0/ssh-keys/{key_id}", handle(s.getKey))
	r.Delete("/v0/ssh-keys/{key_id}", handle(s.deleteKey))
}

type zoneView struct {
	ID        string `json:"az_id"`
	BlockType string `json:"block_type"`
}

type regionView struct {
	ID    string     `json:"region_id"`
	Zones []zoneView `json:"availability_zones"`
}

func (s *Service) listZones(w http.ResponseWriter, _ *http.Request) {
	region := regionView{ID: s.region}
	for _, zone := range s.zones {
		region.Zones = append(region.Zones, zoneView{ID: zone, BlockType: "none"})
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"results": []regionView{region}})
}

type keyView struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Key     string `json:"key"`
	KeyType string `json:"key_type"`
}

const selectKey = `SELECT id, name, key, key_type FROM profile_ssh_keys `

func scanKey(row store.Scanner) (k keyView, err error) {
	err = row.Scan(&k.ID, &k.Name, &k.Key, &k.KeyType)
	return k, err
}

// PublicKey returns the key that the tenant registered under the name; store.ErrNotFound when there is none.
func (s *Service) PublicKey(ctx context.Context, q store.Queryer, tenantID, name string) (string, error) {
	return store.Row(ctx, q, store.Text, `SELECT key FROM profile_ssh_keys WHERE tenant_id = ? AND name = ?`, tenantID, name)
}

func (s *Service) listKeys(w http.ResponseWriter, r *http.Request) error {
	page, err := httpapi.ParsePage(r, 50, 1000)
	if err != nil {
		return err
	}
	keys, err := store.Rows(r.Context(), s.db, scanKey, selectKey+`WHERE tenant_id = ? ORDER BY name LIMIT ? OFFSET ?`,
		httpapi.TenantID(r.Context()), page.Limit, page.Offset)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, map[string]any{"results": append([]keyView{}, keys...)})
	return nil
}

// own returns the caller's key with the id of the path.
func (s *Service) own(r *http.Request) (keyView, error) {
	key, err := store.Row(r.Context(), s.db, scanKey, selectKey+`WHERE id = ? AND tenant_id = ?`,
		chi.URLParam(r, "key_id"), httpapi.TenantID(r.Context()))
	if errors.Is(err, store.ErrNotFound) {
		err = httpapi.NotFound("SSH key")
	}
	return key, err
}

func (s *Service) getKey(w http.ResponseWriter, r *http.Request) error {
	key, err := s.own(r)
	if err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, key)
	return nil
}

var keyTypes = []string{"ssh-rsa", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com"}

func (s *Service) createKey(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return err
	}
	fields := strings.Fields(body.Key)
	switch {
	case body.Name == "" || len(body.Name) > 45:
		return httpapi.Invalid("name: String should have 1 to 45 characters")
	case len(body.Key) > 16384:
		return httpapi.Invalid("key: String should have at most 16384 characters")
	case len(fields) < 2 || !slices.Contains(keyTypes, fields[0]) || strings.ContainsAny(body.Key, "\r\n"):
		return httpapi.Invalid("key: must be one line with a public key, such as ssh-ed25519 AAAA…")
	}
	view := keyView{ID: uuid.NewString(), Name: body.Name, Key: body.Key, KeyType: fields[0]}
	added, err := s.db.Exec(r.Context(), `INSERT INTO profile_ssh_keys (id, tenant_id, name, key, key_type, created_at)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, name) DO NOTHING`,
		view.ID, httpapi.TenantID(r.Context()), view.Name, view.Key, view.KeyType, store.Now())
	if err != nil {
		return err
	}
	if added == 0 {
		return httpapi.Conflict("there is an SSH key %q already", view.Name)
	}
	httpapi.JSON(w, http.StatusCreated, view)
	return nil
}

func (s *Service) deleteKey(w http.ResponseWriter, r *http.Request) error {
	key, err := s.own(r)
	if err != nil {
		return err
	}
	if _, err := s.db.Exec(r.Context(), `DELETE FROM profile_ssh_keys WHERE id = ?`, key.ID); err != nil {
		return err
	}
	httpapi.JSON(w, http.StatusOK, key)
	return nil
}
