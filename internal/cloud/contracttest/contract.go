// Package contracttest checks answers of the local cloud against our own OpenAPI
// documents and the published contracts of Magalu Cloud's products. The latter are
// not part of this repository: the environment variable MKE_OPENAPI_DIR names a
// folder with virtual-machine.yaml, iam.yaml, profile.yaml and so on. Without it
// the checks against them say so and pass.
package contracttest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Checker knows one product's contract. The zero Checker accepts everything.
type Checker struct{ *contract }

type contract struct {
	doc  *openapi3.T // as published; nil where MKE_OPENAPI_DIR is not set
	ours *openapi3.T

	mu        sync.Mutex
	succeeded map[string]bool // operations that were answered as described, by method and template of ours
}

var (
	sayOnce sync.Once
	loading sync.Mutex
	loaded  = map[string]Checker{} // reading one takes some 100 ms
)

// Load reads the product's contract, such as "virtual-machine".
func Load(t testing.TB, product string) Checker {
	t.Helper()
	c, err := load(product)
	switch {
	case err != nil:
		t.Fatalf("contract of %s: %v", product, err)
	case c.doc == nil:
		t.Logf("CONTRACT NOT CHECKED (%s): MKE_OPENAPI_DIR is not set", product)
		sayOnce.Do(func() {
			fmt.Fprintln(os.Stderr, "WARNING: answers are NOT checked against the published contracts: MKE_OPENAPI_DIR is not set")
		})
	}
	return c
}

// Document is the product's published document, nil where there is none.
func Document(t testing.TB, product string) *openapi3.T {
	t.Helper()
	return Load(t, product).doc
}

func load(product string) (Checker, error) {
	loading.Lock()
	defer loading.Unlock()
	if c, ok := loaded[product]; ok {
		return c, nil
	}
	ours, err := loadOurs(product)
	if err != nil {
		return Checker{}, err
	}
	c := Checker{&contract{ours: ours, succeeded: map[string]bool{}}}
	if dir := os.Getenv("MKE_OPENAPI_DIR"); dir != "" {
		if c.doc, err = openapi3.NewLoader().LoadFromFile(filepath.Join(dir, product+".yaml")); err != nil {
			return Checker{}, err
		}
	}
	loaded[product] = c
	return c, nil
}

// Check fails the test when the answer to a request of a path relative to the
// product (without query) is not what our document says and the contract publishes.
func (c Checker) Check(t testing.TB, method, path string, status int, body []byte) {
	t.Helper()
	if c.contract == nil {
		return
	}
	c.CheckOurs(t, method, path, status, body)
	if c.doc == nil {
		return
	}
	_, operation := find(c.doc, method, path)
	if operation == nil {
		t.Errorf("contract: %s %s is not published", method, path)
		return
	}
	response := operation.Responses.Value(strconv.Itoa(status))
	if response == nil {
		if unpublished[status] {
			return
		}
		t.Errorf("contract: %s %s does not publish status %d: %s", method, path, status, body)
		return
	}
	media := response.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		if len(body) > 0 && status < 300 {
			t.Errorf("contract: %s %s publishes no body for %d, got %s", method, path, status, body)
		}
		return
	}
	validate(t, "contract", method, path, status, media.Schema.Value, body)
}

func validate(t testing.TB, what, method, path string, status int, schema *openapi3.Schema, body []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Errorf("%s: %s %s: not JSON: %v", what, method, path, err)
		return
	}
	if err := schema.VisitJSON(value, openapi3.MultiErrors()); err != nil {
		t.Errorf("%s: %s %s, status %d: %v\n%s", what, method, path, status, err, body)
	}
}

// unpublished are statuses that every product answers and few publish for every
// call; that of a state that does not allow an operation (409) is one of them.
var unpublished = map[int]bool{401: true, 403: true, 404: true, 409: true, 413: true, 500: true, 501: true, 503: true}

// find prefers a literal path to one with parameters.
func find(doc *openapi3.T, method, path string) (found string, operation *openapi3.Operation) {
	for template, item := range doc.Paths.Map() {
		this := item.GetOperation(method)
		if template == path && this != nil {
			return template, this
		}
		if this != nil && matches(template, path) {
			found, operation = template, this
		}
	}
	return found, operation
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if want[i] != got[i] && !strings.HasPrefix(want[i], "{") {
			return false
		}
	}
	return true
}
