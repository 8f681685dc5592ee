package platform

import (
	"encoding/json"
	"errors"
	"os"
	"strings"

	"github.com/google/uuid"
)

// bootstrap tells the local cloud which identities exist from its first moment. It is made once per data folder.
type bootstrap struct {
	PlatformAPIKey string            `json:"platform_api_key"`
	Tenants        []bootstrapTenant `json:"tenants"`
}

type bootstrapTenant struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	APIKey string `json:"api_key"`
}

// The tenants of a local region: the platform's own, the user's, and one more to try what tenants must not see of each other.
const (
	platformTenant = "mke"
	userTenant     = "default"
	otherTenant    = "other"
)

func (b *bootstrap) tenant(name string) bootstrapTenant {
	for _, t := range b.Tenants {
		if t.Name == name {
			return t
		}
	}
	return bootstrapTenant{}
}

// ensureBootstrap loads the identities, or makes them.
func ensureBootstrap(p Paths) (*bootstrap, error) {
	b := &bootstrap{}
	data, err := os.ReadFile(p.Bootstrap())
	switch {
	case err == nil:
		if err := json.Unmarshal(data, b); err != nil {
			return nil, err
		}
	case errors.Is(err, os.ErrNotExist):
		b.PlatformAPIKey = uuid.NewString()
		for _, name := range []string{platformTenant, userTenant, otherTenant} {
			b.Tenants = append(b.Tenants, bootstrapTenant{ID: uuid.NewString(), Name: name, APIKey: uuid.NewString()})
		}
		data, err := json.MarshalIndent(b, "", "  ")
		if err != nil {
			return nil, err
		}
		if err := writeFile(p.Bootstrap(), data, 0o600); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	return b, writeFile(p.APIKeyFile(), []byte(strings.TrimSpace(b.tenant(userTenant).APIKey)+"\n"), 0o600)
}
