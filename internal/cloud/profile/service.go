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
	routes := httpapi.Routes{Router: r, Shape: httpapi.SlugMessage}
	httpapi.Get(routes, "/v0/availability-zones", s.listZones)
	httpapi.Get(routes, "/v0/ssh-keys", s.listKeys)
	httpapi.Handle(routes, "POST", "/v0/ssh-keys", http.StatusCreated, s.createKey)
	httpapi.Get(routes, "/v0/ssh-keys/{key_id}", s.getKey)
	httpapi.Handle(routes, "DELETE", "/v0/ssh-keys/{key_id}", http.StatusOK, s.deleteKey)
}

type zoneView struct {
	ID        string `json:"az_id"`
	BlockType string `json:"block_type"`
}

type regionView struct {
	ID    string     `json:"region_id"`
	Zones []zoneView `json:"availability_zones"`
}

type regionList struct {
	Results []regionView `json:"results"`
}

func (s *Service) listZones(*http.Request) (*regionList, error) {
	region := regionView{ID: s.region}
	for _, zone := range s.zones {
		region.Zones = append(region.Zones, zoneView{ID: zone, BlockType: "none"})
	}
	return &regionList{[]regionView{region}}, nil
}

type keyList struct {
	Results []keyView `json:"results"`
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

func (s *Service) listKeys(r *http.Request) (*keyList, error) {
	page, err := httpapi.ParsePage(r, 50, 1000)
	if err != nil {
		return nil, err
	}
	order, err := httpapi.ParseSort(r, "name:asc", map[string]string{"id": "id", "name": "name", "key_type": "key_type", "created_at": "created_at"})
	if err != nil {
		return nil, err
	}
	keys, err := store.Rows(r.Context(), s.db, scanKey, selectKey+`WHERE tenant_id = ? ORDER BY `+order+`, id LIMIT ? OFFSET ?`,
		httpapi.TenantID(r.Context()), page.Limit, page.Offset)
	if err != nil {
		return nil, err
	}
	return &keyList{append([]keyView{}, keys...)}, nil
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

func (s *Service) getKey(r *http.Request) (*keyView, error) {
	key, err := s.own(r)
	if err != nil {
		return nil, err
	}
	return &key, nil
}

var keyTypes = []string{"ssh-rsa", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
	"sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com"}

func (s *Service) createKey(r *http.Request) (*keyView, error) {
	var body struct {
		Name string `json:"name"`
		Key  string `json:"key"`
	}
	if err := httpapi.Decode(r, &body); err != nil {
		return nil, err
	}
	fields := strings.Fields(body.Key)
	switch {
	case body.Name == "" || len(body.Name) > 45:
		return nil, httpapi.Invalid("name: String should have 1 to 45 characters")
	case len(body.Key) > 16384:
		return nil, httpapi.Invalid("key: String should have at most 16384 characters")
	case len(fields) < 2 || !slices.Contains(keyTypes, fields[0]) || strings.ContainsAny(body.Key, "\r\n"):
		return nil, httpapi.Invalid("key: must be one line with a public key, such as ssh-ed25519 AAAA…")
	}
	view := keyView{ID: uuid.NewString(), Name: body.Name, Key: body.Key, KeyType: fields[0]}
	added, err := s.db.Exec(r.Context(), `INSERT INTO profile_ssh_keys (id, tenant_id, name, key, key_type, created_at)
		VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, name) DO NOTHING`,
		view.ID, httpapi.TenantID(r.Context()), view.Name, view.Key, view.KeyType, store.Now())
	if err != nil {
		return nil, err
	}
	if added == 0 {
		return nil, httpapi.Conflict("there is an SSH key %q already", view.Name)
	}
	return &view, nil
}

func (s *Service) deleteKey(r *http.Request) (*keyView, error) {
	key, err := s.own(r)
	if err != nil {
		return nil, err
	}
	if _, err := s.db.Exec(r.Context(), `DELETE FROM profile_ssh_keys WHERE id = ?`, key.ID); err != nil {
		return nil, err
	}
	return &key, nil
}
