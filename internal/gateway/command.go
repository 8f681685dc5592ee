package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"magalu.cloud/mke/internal/graceful"
	"magalu.cloud/mke/internal/logging"
	"magalu.cloud/mke/internal/mgc"
)

type config struct {
	listen, healthAddr, metricsAddr string
	tlsCert, tlsKey                 string
	apiURL, region                  string
	cloudEndpoint, cloudCAFile      string
	cloudAPIKeyFile                 string
	rateLimit, writeLimit           int
	failureLimit                    int
	corsOrigins                     []string
	auditDir                        string
	logLevel                        string
}

// NewCommand is `mke gateway`.
func NewCommand() *cobra.Command {
	var c config
	cmd := &cobra.Command{
		Use:   "gateway",
		Short: "Serve the platform's public address: authentication, routing, limits, audit",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return c.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&c.listen, "listen", ":8443", "public address, https")
	f.StringVar(&c.healthAddr, "health-addr", ":8081", "address of /healthz and /readyz")
	f.StringVar(&c.metricsAddr, "metrics-addr", ":8082", "address of /metrics")
	f.StringVar(&c.tlsCert, "tls-cert", os.Getenv("MKE_TLS_CERT"), "PEM file with the certificate chain; read again when it changes (env MKE_TLS_CERT)")
	f.StringVar(&c.tlsKey, "tls-key", os.Getenv("MKE_TLS_KEY"), "PEM file with the private key (env MKE_TLS_KEY)")
	f.StringVar(&c.apiURL, "api-url", cmp.Or(os.Getenv("MKE_API_URL"), "http://mke-api.mke-system"), "URL of mke-api (env MKE_API_URL)")
	f.StringVar(&c.region, "region", cmp.Or(os.Getenv("MKE_REGION"), "br-se1"), "region in public paths (env MKE_REGION)")
	f.StringVar(&c.cloudEndpoint, "cloud-endpoint", os.Getenv("MKE_CLOUD_ENDPOINT"), "base URL of the cloud's regional products (env MKE_CLOUD_ENDPOINT)")
	f.StringVar(&c.cloudCAFile, "cloud-ca-file", os.Getenv("MKE_CLOUD_CA_FILE"), "PEM file with the CA of the cloud (env MKE_CLOUD_CA_FILE)")
	f.StringVar(&c.cloudAPIKeyFile, "cloud-api-key-file", os.Getenv("MKE_CLOUD_API_KEY_FILE"), "file with the platform's API key (env MKE_CLOUD_API_KEY_FILE)")
	f.IntVar(&c.rateLimit, "rate-limit", 200, "requests per second that each tenant may make")
	f.IntVar(&c.writeLimit, "write-limit", 100, "requests per second that each tenant may make to one operation that changes something")
	f.IntVar(&c.failureLimit, "failure-limit", 20, "requests per second with a wrong credential that each address may make")
	f.StringSliceVar(&c.corsOrigins, "cors-origins", nil, "origins of web consoles that browsers may call from, such as https://console.example.com")
	f.StringVar(&c.auditDir, "audit-dir", "", "folder in which audit records wait for mke-api, what an earlier gateway left there included; empty for a new one")
	f.StringVar(&c.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func (c *config) run(ctx context.Context) error {
	log, err := logging.New(c.logLevel)
	if err != nil {
		return err
	}
	var draining atomic.Bool
	group, ctx := errgroup.WithContext(ctx)
	untilDrained := graceful.Drain(ctx, &draining)
	records, err := c.openSpool(log)
	if err != nil {
		return fmt.Errorf("--audit-dir: %w", err)
	}
	gateway, deliver, err := c.gateway(untilDrained, records, log)
	if err != nil {
		return err
	}
	cert := &certificate{certFile: c.tlsCert, keyFile: c.tlsKey}
	if _, err := cert.get(nil); err != nil {
		return fmt.Errorf("%w; see --tls-cert and --tls-key", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(requestSeconds, auditRecords, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	public := newServer(c.listen, c.withCORS(graceful.Closing(&draining, gateway)), log)
	public.TLSConfig = &tls.Config{GetCertificate: cert.get, MinVersion: tls.VersionTLS12}
	others, stopOthers := context.WithCancel(context.WithoutCancel(ctx)) // they outlive the public one
	group.Go(func() error {
		defer stopOthers()
		return graceful.Serve(untilDrained, public, log)
	})
	group.Go(func() error { return graceful.Serve(others, newServer(c.healthAddr, health(&draining), log), log) })
	group.Go(func() error {
		return graceful.Serve(others, newServer(c.metricsAddr, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), log), log)
	})
	group.Go(func() error { records.run(others, deliver); return nil })
	return group.Wait()
}

func (c *config) openSpool(log *slog.Logger) (*spool, error) {
	dir := c.auditDir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "mke-audit-"); err != nil {
			return nil, err
		}
	}
	return openSpool(dir, maxSpool, log)
}

// gateway returns the gateway, and what delivers audit records to mke-api.
func (c *config) gateway(ctx context.Context, records *spool, log *slog.Logger) (*Gateway, send, error) {
	api, err := parseURL("--api-url", c.apiURL)
	if err != nil {
		return nil, nil, err
	}
	cloud, err := parseURL("--cloud-endpoint", c.cloudEndpoint)
	if err != nil {
		return nil, nil, err
	}
	key, err := os.ReadFile(c.cloudAPIKeyFile)
	if err != nil {
		return nil, nil, fmt.Errorf("--cloud-api-key-file: %w", err)
	}
	if c.rateLimit < 1 || c.writeLimit < 1 || c.failureLimit < 1 {
		return nil, nil, errors.New("--rate-limit, --write-limit and --failure-limit must be at least 1")
	}
	if err := checkOrigins(c.corsOrigins); err != nil {
		return nil, nil, err
	}
	apiTransport, err := newTransport("")
	if err != nil {
		return nil, nil, err
	}
	cloudTransport, err := newTransport(c.cloudCAFile)
	if err != nil {
		return nil, nil, err
	}
	platformKey := strings.TrimSpace(string(key))
	client, err := mgc.New(mgc.Config{Endpoint: c.cloudEndpoint, APIKey: platformKey, UserAgent: "mke-gateway",
		HTTPClient: &http.Client{Transport: cloudTransport}})
	if err != nil {
		return nil, nil, err
	}
	gateway := New(ctx, Options{Region: c.region, APIURL: api, CloudURL: cloud, APITransport: apiTransport, CloudTransport: cloudTransport,
		IAM: client.IAM, RateLimit: c.rateLimit, WriteLimit: c.writeLimit, FailureLimit: c.failureLimit, Audit: records.add, PlatformKey: platformKey, Log: log})
	return gateway, sendTo(api, apiTransport), nil
}

func parseURL(flag, value string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(value, "/"))
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%s: %q is not an http(s) URL", flag, value)
	}
	return u, nil
}
