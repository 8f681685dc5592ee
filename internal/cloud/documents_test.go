package cloud

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/openapi"
	"magalu.cloud/mke/internal/openapi/openapitest"
)

// The documents are what routes and handlers say, and differ from the published ones only as docs/openapi-differences.yaml tells.
func TestDocuments(t *testing.T) {
	public, _ := newHandlers(t)
	services := newTestServices(t)
	for _, p := range services.products() {
		t.Run(p.name, func(t *testing.T) {
			doc := documentOf(t, p, public)
			raw, err := json.MarshalIndent(doc, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			file := "openapi/" + p.name + ".json"
			if *update {
				if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if have, err := os.ReadFile(file); err != nil || !bytes.Equal(bytes.TrimSpace(have), raw) {
				t.Errorf("%s is out of date (%v): run go test ./internal/cloud -run %s -update", file, err, t.Name())
			}
			read, err := openapi3.NewLoader().LoadFromData(raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := read.Validate(t.Context()); err != nil {
				t.Error(err)
			}
			if contract := contracttest.Document(t, documents[p.name]); contract != nil {
				openapitest.Check(t, "../..", p.name, read, contract)
			}
		})
	}
}

// documentOf asks the router which operations there are, and each handler what it reads.
func documentOf(t *testing.T, p product, public http.Handler) *openapi3.T {
	names := namer{}
	registry := huma.NewMapRegistry("#/components/schemas/", names.of)
	o := &huma.OpenAPI{OpenAPI: "3.1.0", Info: &huma.Info{Title: p.name, Version: "1"}, Components: &huma.Components{Schemas: registry}}
	routes := chi.NewRouter()
	p.register(routes)
	err := chi.Walk(routes, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		needs, ok := access.Find(p.name, method, route)
		if !ok {
			return nil // internal
		}
		op := &huma.Operation{Method: method, Path: needs.Path, OperationID: operationID(method, needs.Path), Summary: summary(needs.Path),
			Responses: map[string]*huma.Response{"default": {Description: "An error, in the product's published shape"}}}
		for _, name := range parameter.FindAllString(needs.Path, -1) {
			op.Parameters = append(op.Parameters, &huma.Param{Name: strings.Trim(name, "{}"), In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
		}
		var body any
		req := httptest.NewRequest(method, "/"+p.name+parameter.ReplaceAllString(route, "0a000000-0000-4000-8000-000000000001"), strings.NewReader("{}"))
		req.Header.Set("X-Api-Key", acmeKey)
		rec := httptest.NewRecorder()
		public.ServeHTTP(rec, req.WithContext(httpapi.WithInspector(req.Context(), func(v any) { body = v })))
		if body != nil {
			op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {
				Schema: registry.Schema(reflect.TypeOf(body).Elem(), true, op.OperationID+"Body")}}}
		}
		if rec.Code == http.StatusNotImplemented {
			op.Extensions = map[string]any{"x-unavailable": true}
			op.Responses = map[string]*huma.Response{"501": {Description: unavailableText(rec)}}
		} else {
			op.Responses["2XX"] = &huma.Response{Description: "What is published for this operation"}
		}
		o.AddOperation(op)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, o, p.name, names)
}

func finish(t *testing.T, o *huma.OpenAPI, product string, types namer) *openapi3.T {
	raw, err := o.Downgrade()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	doc.Info.Description = "What the local cloud offers of this product. Answers are as Magalu Cloud publishes them, which tests verify; where the two differ is told in docs/openapi-differences.yaml of the source."
	for name, schema := range doc.Components.Schemas {
		if reads := types[name]; reads != nil && reflect.PointerTo(reads).Implements(reflect.TypeFor[json.Unmarshaler]()) {
			schema.Value = openapi3.NewStringSchema() // a text that tells null from nothing
			continue
		}
		schema.Value.Required = nil                               // handlers say in the answer what they miss
		schema.Value.AdditionalProperties = openapi3.BoolSchema{} // unknown members are ignored
		properties := openapi3.Schemas{}
		for name, property := range schema.Value.Properties {
			if first := name[:1]; first == strings.ToUpper(first) { // without a tag, and read in any case
				name = strings.ToLower(name)
			}
			properties[name] = property
		}
		schema.Value.Properties = properties
	}
	openapi.Secure(doc, product)
	return doc
}

// namer gives every type a name of its own, also those that have none.
type namer map[string]reflect.Type

func (n namer) of(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return huma.DefaultSchemaNamer(t, hint)
	}
	name := huma.DefaultSchemaNamer(t, hint)
	for i := 2; n[name] != nil && n[name] != t; i++ {
		name = huma.DefaultSchemaNamer(t, hint) + strconv.Itoa(i)
	}
	n[name] = t
	return name
}

var version = regexp.MustCompile(`^v\d\w*$`)

// words are the segments of a path that say something.
func words(path string) []string {
	return slices.DeleteFunc(strings.Split(strings.Trim(path, "/"), "/"), func(s string) bool {
		return s == "" || s == "api" || version.MatchString(s) || strings.HasPrefix(s, "{")
	})
}

func operationID(method, path string) string {
	id := strings.ToLower(method)
	for segment := range strings.FieldsFuncSeq(path, func(r rune) bool { return strings.ContainsRune("/-_{}", r) }) {
		id += strings.ToUpper(segment[:1]) + segment[1:]
	}
	return id
}

func summary(path string) string { return strings.Join(words(path), ", ") }

// unavailableText is what the 501 says.
func unavailableText(rec *httptest.ResponseRecorder) string {
	text := rec.Body.String()
	var body struct {
		Message, Detail string
		Errors          []struct{ Message string }
	}
	if json.Unmarshal(rec.Body.Bytes(), &body) == nil {
		text = cmp.Or(body.Message, body.Detail, text)
		if len(body.Errors) > 0 {
			text = cmp.Or(body.Errors[0].Message, text)
		}
	}
	return text
}

// Everyone may read the documents; the page needs nothing from elsewhere.
func TestDocumentsArePublic(t *testing.T) {
	public, _ := newHandlers(t)
	elsewhere := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:)?//|url\(|@import|<script`)
	services := newTestServices(t)
	for _, p := range services.products() {
		product := p.name
		for path, want := range map[string]string{"/openapi.json": "application/json", "/openapi.yaml": "application/yaml", "/docs": "text/html; charset=utf-8"} {
			for _, prefix := range []string{"/", "/br-se1/"} {
				req := httptest.NewRequest(http.MethodGet, prefix+product+path, nil)
				req.Header.Set("Accept-Language", "pt-BR")
				rec := httptest.NewRecorder()
				public.ServeHTTP(rec, req)
				if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != want || rec.Body.Len() < 500 {
					t.Errorf("%s: %d %v, %d bytes", req.URL.Path, rec.Code, rec.Header(), rec.Body.Len())
				}
				if path == "/docs" && (elsewhere.Match(rec.Body.Bytes()) || !strings.Contains(rec.Body.String(), `lang="pt-BR"`)) {
					t.Errorf("%s: %.300s", req.URL.Path, rec.Body)
				}
			}
		}
	}
	if rec := ask(public, http.MethodPost, "/compute/openapi.json", "", "{}"); rec.Code < 400 {
		t.Errorf("POST: %d", rec.Code)
	}
}
