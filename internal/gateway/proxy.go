package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"time"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/problem"
)

const (
	// upstreamTimeout is how long a server behind the gateway may take to begin its answer.
	upstreamTimeout = time.Minute
	// dialPatience is how long the gateway waits for a server that restarts. Nothing was sent yet, so waiting is safe.
	dialPatience = 5 * time.Second
	dialTimeout  = 1500 * time.Millisecond // of one attempt: the next one may reach another replica
	dialPause    = 100 * time.Millisecond
)

// identityHeaders tell mke-api who asks. They are never taken from clients.
const (
	tenantHeader  = "X-Mke-Tenant-Id"
	subjectHeader = "X-Mke-Subject"
	scopesHeader  = "X-Mke-Scopes"
)

// newProxy forwards requests to a server. Streams of events end with ctx.
func newProxy(ctx context.Context, base *url.URL, transport http.RoundTripper, rewrite func(*http.Request, *call), log *slog.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			c := callOf(p.In.Context())
			p.Out.URL.Path, p.Out.URL.RawPath = c.rest, ""
			p.SetURL(base)
			p.SetXForwarded()
			p.Out.Header.Del("X-Tenant-Id")
			dropInternal(p.Out.Header)
			p.Out.Header.Set("X-Request-Id", c.requestID)
			p.Out.Header.Set("X-Mgc-Trace-Id", c.traceID)
			rewrite(p.Out, c)
		},
		ModifyResponse: func(r *http.Response) error {
			callOf(r.Request.Context()).learn(r)
			r.Header.Del("X-Request-Id") // the gateway has set them
			r.Header.Del("X-Mgc-Trace-Id")
			endWith(ctx, r)
			return nil
		},
		Transport: transport,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				return // the client has left
			}
			log.Error("no answer from behind the gateway", "product", callOf(r.Context()).product, "error", err)
			w.Header().Set("Retry-After", "1")
			callOf(r.Context()).learned.slug = problem.Unavailable.Slug
			problem.Write(w, r, problem.New(problem.Unavailable))
		},
	}
}

// forAPI replaces the credential by what it proves.
func forAPI(out *http.Request, c *call) {
	out.Header.Del("X-Api-Key")
	out.Header.Del("Authorization")
	if c.identity == nil { // what needs no credential
		return
	}
	out.Header.Set(tenantHeader, c.identity.TenantID)
	out.Header.Set(subjectHeader, c.identity.Subject)
	out.Header.Set(scopesHeader, strings.Join(c.identity.Scopes, " "))
	// What was sent into a connection that had just been closed is sent again: mke-api knows repetitions, except of deletions. The
	// empty header is for the transport only and is not sent.
	if out.Method != http.MethodDelete {
		out.Header["X-Idempotency-Key"] = nil
	}
}

// dropInternal takes out what only the servers of the platform tell each other.
func dropInternal(header http.Header) {
	for name := range header {
		if strings.HasPrefix(name, "X-Mke-") {
			header.Del(name)
		}
	}
}

// forCloud leaves the credential: the cloud's products check it themselves.
func forCloud(*http.Request, *call) {}

// forIAM shows, where clients need no credential, that the gateway asks.
func forIAM(platformKey string) func(*http.Request, *call) {
	return func(out *http.Request, c *call) {
		if givesCredential(c.rest) {
			out.Header.Set("X-Api-Key", platformKey)
		}
	}
}

// newTransport connects to a server, patiently while it restarts, and trusts caFile besides the system's roots.
func newTransport(caFile string) (*http.Transport, error) {
	client, err := mgc.NewHTTPClient(caFile)
	if err != nil {
		return nil, err
	}
	t := client.Transport.(*http.Transport)
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialPatiently(ctx, func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, network, address) })
	}
	t.MaxIdleConnsPerHost = 64
	t.ResponseHeaderTimeout = upstreamTimeout
	t.DisableCompression = true
	t.Proxy = nil
	return t, nil
}

func dialPatiently(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	for {
		conn, err := dial(ctx)
		if err == nil || !mayComeUp(err) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(dialPause):
		}
	}
}

// mayComeUp says whether an address did not answer that a restarting server, or its other replica, may answer at soon.
func mayComeUp(err error) bool {
	var network net.Error
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.As(err, &network) && network.Timeout()
}
