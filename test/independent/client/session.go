package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// session sends requests that the document allows, and takes only answers that it describes.
type session struct {
	server string
	key    string
	http   *http.Client
	router routers.Router
	counts struct{ requests, answers int } // that were validated
}

func newSession(o Options) (*session, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(o.Document)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if err := amend(doc, o.Server); err != nil {
		return nil, err
	}
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation())
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if len(o.CA) > 0 {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(o.CA) {
			return nil, errors.New("the certificate authority is not PEM")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &session{server: o.Server, key: o.Key, http: &http.Client{Timeout: 30 * time.Second, Transport: transport}, router: router}, nil
}

// amend mends what no answer of any server could satisfy in the document as published, and no more.
func amend(doc *openapi3.T, server string) error {
	failure, kubeconfig := doc.Components.Schemas["Error"], doc.Components.Schemas["ClusterKubeConfigResponse"]
	if failure == nil || kubeconfig == nil {
		return errors.New("the document has no schema Error or ClusterKubeConfigResponse: it is not that of the Kubernetes product")
	}
	failure.Value.Required = []string{"message"}     // "id" is required and not defined
	kubeconfig.Value.Properties = openapi3.Schemas{} // the file itself is answered, not an object with a file in it
	delete(doc.Extensions, "$id")                    // not allowed by OpenAPI 3.0
	doc.Servers = openapi3.Servers{{URL: server}}
	return nil
}

// answer is one that the document describes.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request and wants one of the statuses.
func (c *session) call(ctx context.Context, method, path string, body any, want ...int) (*answer, error) {
	a, err := c.send(ctx, c.key, method, path, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	for _, status := range want {
		if a.status == status {
			return a, nil
		}
	}
	return nil, fmt.Errorf("%s %s: status %d, want %v: %s", method, path, a.status, want, a.body)
}

func (c *session) send(ctx context.Context, key, method, path string, body any) (*answer, error) {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(payload))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Api-Key", key)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	input, err := c.validateRequest(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("the document does not allow this request: %w", err)
	}
	req.Body = io.NopCloser(bytes.NewReader(payload)) // validation has read it
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	a := &answer{status: res.StatusCode, header: res.Header}
	if a.body, err = io.ReadAll(res.Body); err != nil {
		return nil, err
	}
	return a, c.validateAnswer(ctx, input, a)
}

func (c *session) validateRequest(ctx context.Context, req *http.Request) (*openapi3filter.RequestValidationInput, error) {
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		return nil, err
	}
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true}}
	c.counts.requests++
	return input, openapi3filter.ValidateRequest(ctx, input)
}

func (c *session) validateAnswer(ctx context.Context, input *openapi3filter.RequestValidationInput, a *answer) error {
	for _, name := range []string{"X-Request-Id", "X-Mgc-Trace-Id"} {
		if a.header.Get(name) == "" {
			return fmt.Errorf("the answer has no header %s, which clients show", name)
		}
	}
	if a.status == http.StatusNoContent && len(a.body) > 0 {
		return fmt.Errorf("204 with a body: %s", a.body)
	}
	c.counts.answers++
	err := openapi3filter.ValidateResponse(ctx, &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		return fmt.Errorf("the answer is not what the document describes: %w\n%s", err, a.body)
	}
	return nil
}

// into decodes an answer.
func (a *answer) into(v any) error {
	if kind := a.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
		return fmt.Errorf("content type %q", kind)
	}
	return json.Unmarshal(a.body, v)
}
