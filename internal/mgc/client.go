// Package mgc is the Go client of Magalu Cloud's public REST contracts: compute, network, load balancer, block storage and IAM.
//
// Everything in this repository that touches the cloud goes through it, so that the same binaries work against the real cloud
// and the local one by changing an endpoint and a key.
package mgc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"
)

// callTimeout limits one call, its retries included.
const callTimeout = 30 * time.Second

// Config says where the cloud is and who calls.
type Config struct {
	// Endpoint is the base of the regional products, for example https://api.magalu.cloud/br-se1. IAM is expected beside the
	// region: https://api.magalu.cloud/iam.
	Endpoint string
	// APIKey is sent as X-Api-Key.
	APIKey string
	// TenantID is sent as x-tenant-id; only the platform's own key may choose a tenant.
	TenantID string
	// CAFile is a PEM bundle trusted besides the system's; empty for none. Ignored when HTTPClient is set.
	CAFile string
	// UserAgent defaults to "mke".
	UserAgent string
	// HTTPClient replaces the client's own transport.
	HTTPClient *http.Client
}

// Client talks to one region on behalf of one tenant. It is safe for concurrent use.
type Client struct {
	Compute      *ComputeClient
	Network      *NetworkClient
	LoadBalancer *LoadBalancerClient
	Volume       *VolumeClient
	IAM          *IAMClient
}

// ComputeClient calls the virtual machine product.
type ComputeClient struct{ *caller }

// NetworkClient calls the VPC product.
type NetworkClient struct{ *caller }

// LoadBalancerClient calls the load balancer product.
type LoadBalancerClient struct{ *caller }

// IAMClient calls the identity product.
type IAMClient struct{ *caller }

// New returns a client, or an error if the endpoint or the CA file cannot be used. It makes no call.
func New(cfg Config) (*Client, error) {
	base, err := url.Parse(strings.TrimRight(cfg.Endpoint, "/"))
	if err != nil || base.Host == "" || (base.Scheme != "https" && base.Scheme != "http") {
		return nil, fmt.Errorf("cloud endpoint %q is not an http(s) URL", cfg.Endpoint)
	}
	hc := cfg.HTTPClient
	if hc == nil {
		if hc, err = NewHTTPClient(cfg.CAFile); err != nil {
			return nil, err
		}
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = "mke"
	}
	global := *base
	global.Path = path.Dir("/" + strings.Trim(base.Path, "/"))
	product := func(root url.URL, name string) *caller {
		root.Path = path.Join("/", root.Path, name)
		return &caller{base: root.String(), apiKey: cfg.APIKey, tenantID: cfg.TenantID, userAgent: cfg.UserAgent, http: hc}
	}
	return &Client{
		Compute:      &ComputeClient{product(*base, "compute")},
		Network:      &NetworkClient{product(*base, "network")},
		LoadBalancer: &LoadBalancerClient{product(*base, "load-balancer")},
		Volume:       &VolumeClient{product(*base, "volume")},
		IAM:          &IAMClient{product(global, "iam")},
	}, nil
}

// NewHTTPClient returns an HTTP client that trusts caFile (empty: the system's roots only). Share one between the clients of
// many tenants so that they share connections.
func NewHTTPClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("read the cloud's CA file: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("the cloud's CA file " + caFile + " holds no certificate")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}, nil
}
