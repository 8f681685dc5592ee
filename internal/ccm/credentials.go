package ccm

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"magalu.cloud/mke/internal/mgc"
)

// credentials makes clients from a mounted Secret, and a new one when the Secret changes.
type credentials struct {
	dir, endpoint string
	http          *http.Client

	mu      sync.Mutex
	apiKey  string
	current *mgc.Client
}

// connect returns what the node controllers need of the cloud.
func (c *credentials) connect() (compute, error) {
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return client.Compute, nil
}

// client returns the cloud with the credentials of the moment.
func (c *credentials) client() (*mgc.Client, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, "api-key"))
	if err != nil {
		return nil, fmt.Errorf("read the cloud's API key: %w", err)
	}
	apiKey := strings.TrimSpace(string(data))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && apiKey == c.apiKey {
		return c.current, nil
	}
	client, err := mgc.New(mgc.Config{Endpoint: c.endpoint, APIKey: apiKey, UserAgent: "mke-ccm", HTTPClient: c.http})
	if err != nil {
		return nil, err
	}
	c.apiKey, c.current = apiKey, client
	return client, nil
}
