// Package gateway is the platform's front door: TLS, who asks and may they, rate limits, request ids, the audit log, and the way to
// the Kubernetes product's API and to the products of the cloud.
package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/httprate"
	"github.com/google/uuid"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/problem"
)

// maxBody bounds the body of a request.
const maxBody = 1 << 20

// Options is what a Gateway works with.
type Options struct {
	Region         string
	APIURL         *url.URL // of mke-api
	CloudURL       *url.URL // of the cloud's regional products, for example https://198.18.0.1:8443/br-se1
	APITransport   http.RoundTripper
	CloudTransport http.RoundTripper
	IAM            Introspector
	// RateLimit is the number of requests per second that each tenant may make.
	RateLimit int
	// WriteLimit is the number of requests per second that each tenant may make to one operation that changes something.
	WriteLimit int
	// FailureLimit is the number of requests per second with a wrong credential, or without one, that each address may make.
	FailureLimit int
	// Audit takes records of calls, one line of JSON each, and waits for nobody. Without it they are in the log only.
	Audit func(line []byte) error
	// PlatformKey shows IAM that a sign-in comes through the gateway, which may know whom it is about.
	PlatformKey string
	Log         *slog.Logger
}

// Gateway is an http.Handler.
type Gateway struct {
	region     string
	identities *identities
	tenants    *httprate.RateLimiter
	writes     *httprate.RateLimiter
	failures   *httprate.RateLimiter
	refusals   *httprate.RateLimiter
	audit      func([]byte) error
	handlers   map[target]http.Handler
	log        *slog.Logger
}

// New returns a gateway. Streams of events end with ctx.
func New(ctx context.Context, o Options) *Gateway {
	global := *o.CloudURL
	global.Path = ""
	limiter := func(limit int) *httprate.RateLimiter { return httprate.NewRateLimiter(limit, time.Second) }
	return &Gateway{
		region:     o.Region,
		identities: newIdentities(o.IAM, newTokens(o.CloudURL, o.CloudTransport)),
		tenants:    limiter(o.RateLimit),
		writes:     limiter(o.WriteLimit),
		failures:   limiter(o.FailureLimit),
		refusals:   limiter(refusalsRecorded),
		audit:      o.Audit,
		handlers: map[target]http.Handler{
			toAPI:           newProxy(ctx, o.APIURL, o.APITransport, forAPI, o.Log),
			toRegion:        newProxy(ctx, o.CloudURL, o.CloudTransport, forCloud, o.Log),
			toGlobalProduct: newProxy(ctx, &global, o.CloudTransport, forIAM(o.PlatformKey), o.Log),
		},
		log: o.Log,
	}
}

// call is what the gateway knows about a request.
type call struct {
	product, rest      string
	requestID, traceID string
	identity           *mgc.Identity
	learned            learned
}

// pathInProduct is relative to the product, as documented.
func (c *call) pathInProduct() string { return strings.TrimPrefix(c.rest, "/"+c.product) }

// operation names what is asked for, without the ids in its path.
func (c *call) operation(method string) string {
	o, _ := access.Find(c.product, method, c.pathInProduct())
	return c.product + " " + method + " " + o.Path
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// ServeHTTP answers one request: ids first, so that every answer has them, and the audit line and the metrics last.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	to, product, rest := route(r.URL, g.region)
	c := &call{product: product, rest: rest, requestID: givenOrNew(r, "X-Request-Id"), traceID: givenOrNew(r, "X-Mgc-Trace-Id")}
	recorder := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
	recorder.Header().Set("X-Request-Id", c.requestID)
	recorder.Header().Set("X-Mgc-Trace-Id", c.traceID)
	r = r.WithContext(context.WithValue(r.Context(), callKey{}, c))
	if e := g.admit(recorder, r, c, to); e != nil {
		c.learned.slug = e.In(problem.English).Slug
		problem.Write(recorder, r, e)
	} else {
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the request is here; it would end with its own time limit
		g.handlers[to].ServeHTTP(streamWriter{recorder}, r)
	}
	g.report(r, c, recorder.Status(), start)
}

// admit says why a request may not pass, nil if it may.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, c *call, to target) *problem.Error {
	if needsNoCredential(to, r.Method, c.product, c.rest) {
		if g.failures.OnLimit(w, r, remoteHost(r)) {
			return problem.New(problem.TooManyRequests)
		}
		return readBody(r)
	}
	identity, err := g.identities.identify(r)
	switch {
	case errors.Is(err, errNoIdentity):
		if g.failures.OnLimit(w, r, remoteHost(r)) {
			return problem.New(problem.TooManyRequests)
		}
		return problem.New(problem.Unauthorized)
	case err != nil:
		g.log.Error("ask IAM", "error", err)
		w.Header().Set("Retry-After", "1")
		return problem.New(problem.Unavailable)
	}
	c.identity = identity
	if g.tenants.OnLimit(w, r, identity.TenantID) {
		return problem.New(problem.TooManyRequests)
	}
	if to == toNobody {
		return problem.New(problem.NotFound)
	}
	if mutates(r.Method) && g.writes.OnLimit(w, r, identity.TenantID+" "+c.operation(r.Method)) {
		return problem.New(problem.TooManyRequests)
	}
	if to == toAPI {
		if e := authorize(identity, r.Method, c.rest); e != nil {
			return e
		}
	}
	return readBody(r)
}

// readBody takes the whole body in, so that a body without a length that grows too large is refused before anything is forwarded,
// and slow clients hold no connection to the servers behind.
func readBody(r *http.Request) *problem.Error {
	if r.ContentLength > maxBody {
		return problem.New(problem.BodyTooLarge)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return problem.New(problem.BodyMissing)
	}
	if len(body) > maxBody {
		return problem.New(problem.BodyTooLarge)
	}
	_ = r.Body.Close()
	r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	if len(body) == 0 {
		r.Body = http.NoBody
	}
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil } // for a connection that ends under the request
	return nil
}

var sane = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// givenOrNew returns the id that the client gave in a header, or a new one.
func givenOrNew(r *http.Request, header string) string {
	if id := r.Header.Get(header); sane.MatchString(id) {
		return id
	}
	return uuid.NewString()
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
