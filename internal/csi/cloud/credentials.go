package cloud

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"magalu.cloud/mke/internal/mgc"
)

// Credentials makes clients from a mounted Secret, and a new one when the Secret changes.
type Credentials struct {
	// Dir holds the file api-key.
	Dir string
	// Endpoint is the base of the region's products.
	Endpoint string
	// HTTPClient is used by all clients.
	HTTPClient *http.Client

	mu      sync.Mutex
	apiKey  string
	current *mgc.Client
}

// Connect returns the block storage product with the key of the moment.
func (c *Credentials) Connect() (API, error) {
	data, err := os.ReadFile(filepath.Join(c.Dir, "api-key"))
	if err != nil {
		return nil, fmt.Errorf("read the cloud's API key: %w", err)
	}
	apiKey := strings.TrimSpace(string(data))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil || apiKey != c.apiKey {
		client, err := mgc.New(mgc.Config{Endpoint: c.Endpoint, APIKey: apiKey, UserAgent: "mgc-csi", HTTPClient: c.HTTPClient})
		if err != nil {
			return nil, err
		}
		c.apiKey, c.current = apiKey, client
	}
	return c.current.Volume, nil
}
