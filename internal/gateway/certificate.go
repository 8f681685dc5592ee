package gateway

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// certificate is a key pair in files that may be renewed while the gateway runs.
type certificate struct {
	certFile, keyFile string

	mu       sync.Mutex
	current  *tls.Certificate
	modified time.Time
}

// get returns the present key pair; it looks at the file's time on every handshake and reads it when that has changed.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	info, err := os.Stat(c.certFile)
	if err == nil && c.current != nil && info.ModTime().Equal(c.modified) {
		return c.current, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile)
	}
	switch {
	case err == nil:
		c.current, c.modified = &pair, info.ModTime()
	case c.current == nil:
		return nil, fmt.Errorf("read the TLS certificate: %w", err)
	}
	return c.current, nil // an old pair is better than none while files are being exchanged
}
