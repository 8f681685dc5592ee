package ccm

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"magalu.cloud/mke/internal/mgc"
)

// credentials makes clients from a mounted Secret, and a new one when the Secret changes.
type credentials struct {
	dir, endpoint string
	http          *http.Client

	apiKey  string
	current compute
}

// connect returns the client; its callers hold a lock.
func (c *credentials) connect() (compute, error) {
	data, err := os.ReadFile(filepath.Join(c.dir, "api-key"))
	if err != nil {
		return nil, fmt.Errorf("read the cloud's API key: %w", err)
	}
	apiKey := strings.TrimSpace(string(data))
	if c.current != nil && apiKey == c.apiKey {
		return c.current, nil
	}
	client, err := mgc.New(mgc.Config{Endpoint: c.endpoint, APIKey: apiKey, UserAgent: "mke-ccm", HTTPClient: c.http})
	if err != nil {
		return nil, err
	}
	c.apiKey, c.current = apiKey, client.Compute
	return c.current, nil
}
