package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/version"
)

const (
	attempts       = 5
	firstBackoff   = 100 * time.Millisecond
	attemptTimeout = 60 * time.Second
	maxAnswer      = 32 << 20
)

// client speaks to one product of Magalu Cloud.
type client struct {
	base    string
	apiKey  string
	token   func(context.Context) (string, error) // bearer token, used when there is no key
	http    *http.Client
	header  http.Header // sent with every request, besides its own
	debug   io.Writer   // nil without --debug
	retries int

	// repeatable tells that doing something twice is the same as doing it once. What is not is tried again only while the server
	// cannot have had the request.
	repeatable bool
	readOnly   bool // refuses to change anything
}

type answer struct {
	Status int
	Header http.Header
	Body   []byte
}

func newClient(base, caFile string) (*client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, usagef("the server address %q is not an http(s) URL; example: --server-url https://198.18.0.1:8443/br-se1/kubernetes", base)
	}
	httpClient, err := newHTTPClient(caFile)
	if err != nil {
		return nil, err
	}
	return &client{base: strings.TrimRight(base, "/"), http: httpClient, retries: attempts, repeatable: true}, nil
}

// newHTTPClient trusts the system's authorities and those of caFile.
func newHTTPClient(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if caFile != "" {
		pool, err := trustedPool(caFile)
		if err != nil {
			return nil, err
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{
		Transport: transport,
		Timeout:   attemptTimeout,
		// A key is for one host only: never carry it to where an answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// trustedPool is the system's pool (which honours SSL_CERT_FILE) with caFile added.
func trustedPool(caFile string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("read the certificates named by caFile in %s: %w", configFile, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no PEM certificate", caFile)
	}
	return pool, nil
}

// slugInProgress is what a repetition meets whose first attempt lost its connection and is still being worked on.
const slugInProgress = "idempotency_key_in_use"

// connected tells whether a request may have reached the server.
func connected(err error) bool {
	var failed *net.OpError
	return !errors.As(err, &failed) || failed.Op != "dial"
}

// do sends body (marshalled unless nil) and returns any 2xx answer. 5xx, network errors and requests that are still being worked on are
// tried up to five times, 100 ms apart, doubling (what is not repeatable: as long as nothing was sent); anything else that is not 2xx is an *apiError at once.
func (c *client) do(ctx context.Context, method, path string, body any) (*answer, error) {
	if c.readOnly && method != http.MethodGet {
		return nil, usagef("--cli.retry-until repeats gets and lists only; nothing was changed")
	}
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	idempotency := uuid.NewString()
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		ans, err := c.once(ctx, method, path, payload, idempotency)
		if err == nil && ans.Status < 300 && ans.Status >= 200 {
			return ans, nil
		}
		retry := err != nil && !isPermanent(err) && (c.repeatable || !connected(err))
		if err == nil {
			refusal := newAPIError(ans.Status, ans.Header, ans.Body)
			retry = ans.Status >= 500 && ans.Status != http.StatusNotImplemented && c.repeatable || refusal.Slug == slugInProgress
			err = refusal
		}
		if !retry || attempt >= c.retries || ctx.Err() != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(backoff):
		}
		backoff *= 2
	}
}

func (c *client) once(ctx context.Context, method, path string, payload []byte, idempotency string) (*answer, error) {
	var reader io.Reader
	if payload != nil {
		reader = bytes.NewReader(payload)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return nil, usagef("cannot make a request to %s%s: %v", c.base, path, err)
	}
	if err := c.setHeaders(req, payload != nil, idempotency); err != nil {
		return nil, err
	}
	start := time.Now()
	res, err := c.http.Do(req)
	if err != nil {
		c.debugf("%s %s: %v", method, req.URL, err)
		return nil, unreachable(c.base, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("the answer of %s broke off: %w", c.base, err)
	}
	c.debugf("%s %s %s -> %d in %s, request id %s\n%s", method, req.URL, withoutSecrets(payload), res.StatusCode,
		time.Since(start).Round(time.Millisecond), res.Header.Get("X-Request-Id"), withoutSecrets(body))
	return &answer{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

func (c *client) setHeaders(req *http.Request, hasBody bool, idempotency string) error {
	req.Header.Set("Accept", "*/*")
	req.Header.Set("User-Agent", fmt.Sprintf("mgc/%s (%s; %s)", version.Version, runtime.GOOS, runtime.GOARCH))
	req.Header.Set("X-Request-Id", uuid.NewString()) // a new one for each attempt
	switch {
	case c.apiKey != "":
		req.Header.Set("X-Api-Key", c.apiKey)
	case c.token != nil:
		token, err := c.token(req.Context())
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, values := range c.header {
		req.Header[name] = values
	}
	if hasBody {
		req.Header.Set("Content-Type", "application/json")
	}
	if req.Method == http.MethodPost {
		req.Header.Set("Idempotency-Key", idempotency) // the same for all attempts
	}
	return nil
}

var secrets = regexp.MustCompile(`("(?:api_key|key_pair_secret|private_key|client_secret|password|user_data)"\s*:\s*)"(?:[^"\\]|\\.)*"|(client-key-data:\s*)\S+`)

// withoutSecrets is a body as it may be written to a log.
func withoutSecrets(body []byte) []byte { return secrets.ReplaceAll(body, []byte(`$1$2"(secret)"`)) }

func (c *client) debugf(format string, args ...any) {
	if c.debug != nil {
		fmt.Fprintf(c.debug, "debug: "+format+"\n", args...)
	}
}

// getInto reads path and decodes the JSON answer into v.
func (c *client) getInto(ctx context.Context, path string, v any) error {
	ans, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	return decode(ans.Body, v)
}

func decode(body []byte, v any) error {
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("the server's answer is not the JSON expected (%w); is the address the product's base?", err)
	}
	return nil
}

// permanentError will not go away by trying again.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

func isPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

func unreachable(base string, err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return &permanentError{fmt.Errorf("the certificate of %s is not trusted: %w; set caFile in %s or SSL_CERT_FILE to the authority's certificate", base, untrusted.Err, configFile)}
	}
	return fmt.Errorf("cannot reach %s: %w", base, err)
}
