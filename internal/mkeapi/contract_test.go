package mkeapi

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// contract is the published OpenAPI document of the Kubernetes product. It is not part of this repository.
type contract struct {
	router routers.Router
	doc    *openapi3.T
}

var published struct {
	once     sync.Once
	contract *contract
	err      error
}

// loadContract reads kubernetes.yaml from MKE_OPENAPI_DIR, by default ../shared/openapi beside the repository. Without it the tests
// run, but say loudly that answers were not compared with the contract.
func loadContract(t testing.TB) *contract {
	t.Helper()
	published.once.Do(func() {
		file := filepath.Join(openAPIDir(), "kubernetes.yaml")
		if _, err := os.Stat(file); err != nil {
			fmt.Fprintf(os.Stderr, "\nWARNING: answers are NOT compared with the published contract: %s is missing (set MKE_OPENAPI_DIR)\n\n", file)
			return
		}
		published.contract, published.err = readContract(file)
	})
	if published.err != nil {
		t.Fatal(published.err)
	}
	return published.contract
}

func openAPIDir() string {
	if dir := os.Getenv("MKE_OPENAPI_DIR"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "shared", "openapi")
}

func readContract(file string) (*contract, error) {
	doc, err := openapi3.NewLoader().LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	// The published Error requires a property id that it does not define and that no real answer has.
	doc.Components.Schemas["Error"].Value.Required = []string{"message", "slug"}
	delete(doc.Extensions, "$id") // not allowed by OpenAPI 3.0
	doc.Servers = openapi3.Servers{{URL: "http://example.com"}}
	router, err := legacy.NewRouter(doc, openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation())
	if err != nil {
		return nil, err
	}
	return &contract{router, doc}, nil
}

// deviations are statuses that we answer and the contract does not list, see docs/api.md.
var deviations = map[int]bool{http.StatusConflict: true, http.StatusRequestEntityTooLarge: true, http.StatusServiceUnavailable: true, http.StatusMethodNotAllowed: true,
	http.StatusUnprocessableEntity: true}

// check compares an answer with the contract.
func (c *contract) check(t testing.TB, r *http.Request, res response) {
	t.Helper()
	checkNothingInternal(t, res)
	if c == nil {
		return
	}
	r.URL.Scheme, r.URL.Host = "http", "example.com"
	route, params, err := c.router.FindRoute(r)
	dryRun := res.StatusCode == http.StatusOK && r.URL.Query().Has("dry_run")
	if err != nil || deviations[res.StatusCode] || dryRun {
		return // our extension, or a path that does not exist
	}
	err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(res.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	// kubeconfig's published schema is an object with a binary file; real answers are the file itself.
	if err != nil && !strings.HasSuffix(r.URL.Path, "/kubeconfig") {
		t.Errorf("%s %s: the answer breaks the published contract: %v\n%s", r.Method, r.URL.Path, err, res.body)
	}
}

// checkNothingInternal makes sure that no answer shows what is behind the API.
func checkNothingInternal(t testing.TB, res response) {
	t.Helper()
	for _, word := range []string{"x-k8s.io", "admission webhook", "MGCCluster", "mke.magalu.cloud/v1", "SQLSTATE", "goroutine", "$schema"} {
		if bytes.Contains(res.body, []byte(word)) {
			t.Errorf("an answer contains %q: %s", word, res.body)
		}
	}
}
