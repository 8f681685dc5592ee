package cloud

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
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
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/openapi"
)

// maker makes the document of a product: the router says which operations there are, each endpoint what it answers, and its handler,
// which is asked, what it reads.
type maker struct {
	*testing.T
	product   product
	public    http.Handler
	requests  *schemas
	responses *schemas
}

const componentPrefix = "#/components/schemas/"

func documentOf(t *testing.T, p product, public http.Handler) *openapi3.T {
	taken := map[string]bool{}
	m := maker{T: t, product: p, public: public, requests: newSchemas(taken, ""), responses: newSchemas(taken, "Answer")}
	o := &huma.OpenAPI{OpenAPI: "3.1.0", Info: &huma.Info{Title: p.name, Version: "1"}, Components: &huma.Components{Schemas: m.requests.Registry}}
	routes := chi.NewRouter()
	p.register(routes)
	err := chi.Walk(routes, func(method, route string, handler http.Handler, _ ...func(http.Handler) http.Handler) error {
		needs, ok := access.Find(p.name, method, route)
		if !ok {
			return nil // internal
		}
		endpoint, ok := handler.(httpapi.Endpoint)
		if !ok {
			t.Fatalf("%s %s does not say what it answers", method, route)
		}
		o.AddOperation(m.operation(method, needs.Path, route, endpoint))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, schema := range m.responses.Map() {
		m.requests.Map()[name] = schema
	}
	return m.finish(o)
}

func (m maker) operation(method, path, route string, endpoint httpapi.Endpoint) *huma.Operation {
	op := &huma.Operation{Method: method, Path: path, OperationID: operationID(method, path), Summary: summary(path), Responses: map[string]*huma.Response{}}
	for _, name := range parameter.FindAllString(path, -1) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: strings.Trim(name, "{}"), In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	req := httptest.NewRequest(method, "/"+m.product.name+parameter.ReplaceAllString(route, "0a000000-0000-4000-8000-000000000001"), strings.NewReader("{}"))
	req.Header.Set("X-Api-Key", acmeKey)
	rec := httptest.NewRecorder()
	m.public.ServeHTTP(rec, req.WithContext(httpapi.WithInspector(req.Context(), httpapi.Inspector{
		Param: func(p httpapi.Param) { op.Parameters = append(op.Parameters, paramOf(p)) },
		Body: func(v any) {
			op.RequestBody = &huma.RequestBody{Content: contentOf(m.requests.Schema(reflect.TypeOf(v).Elem(), true, op.OperationID+"Body"))}
		},
	})))
	m.errors(op, endpoint)
	switch status := strconv.Itoa(endpoint.Status); {
	case endpoint.Status == http.StatusNotImplemented:
		op.Extensions = map[string]any{"x-unavailable": true}
		op.Responses[status] = &huma.Response{Description: unavailableText(rec), Content: op.Responses["default"].Content}
	case endpoint.Answer == nil:
		op.Responses[status] = &huma.Response{Description: "Nothing more to tell"}
	default:
		op.Responses[status] = &huma.Response{Description: http.StatusText(endpoint.Status), Content: m.answer(endpoint.Answer)}
	}
	return op
}

// errors describes what failures look like: the shape of most of them, and the statuses that have another.
func (m maker) errors(op *huma.Operation, endpoint httpapi.Endpoint) {
	usual := reflect.TypeOf(endpoint.Shape(&httpapi.Error{Status: http.StatusInternalServerError}))
	op.Responses["default"] = &huma.Response{Description: "An error", Content: m.answer(usual)}
	for status, shapes := range map[int][]reflect.Type{
		http.StatusUnprocessableEntity: {reflect.TypeOf(endpoint.Shape(&httpapi.Error{Status: http.StatusUnprocessableEntity}))},
		http.StatusUnauthorized:        {reflect.TypeOf(m.product.shape(&httpapi.Error{Status: http.StatusUnauthorized}))},
		http.StatusForbidden: {reflect.TypeOf(m.product.shape(&httpapi.Error{Status: http.StatusForbidden})),
			reflect.TypeOf(m.product.shape(&httpapi.Error{Status: http.StatusForbidden, Permission: "x"}))},
	} {
		if shapes = slices.Compact(shapes); len(shapes) == 1 && shapes[0] == usual {
			continue
		}
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status), Content: m.answer(shapes...)}
	}
}

// answer is one of the types as JSON.
func (m maker) answer(types ...reflect.Type) map[string]*huma.MediaType {
	var alternatives []*huma.Schema
	for _, t := range types {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.Kind() == reflect.Struct && t.NumField() == 0 {
			return contentOf(&huma.Schema{Type: huma.TypeObject})
		}
		alternatives = append(alternatives, m.responses.Schema(t, true, ""))
	}
	if len(alternatives) == 1 {
		return contentOf(alternatives[0])
	}
	return contentOf(&huma.Schema{AnyOf: alternatives})
}

func contentOf(schema *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: schema}}
}

func paramOf(p httpapi.Param) *huma.Param {
	schema := &huma.Schema{Type: p.Kind, Default: p.Default, Pattern: p.Pattern, Minimum: number(p.Min), Maximum: number(p.Max)}
	for _, word := range p.Enum {
		schema.Enum = append(schema.Enum, word)
	}
	if p.Kind == huma.TypeArray {
		schema.Items = &huma.Schema{Type: huma.TypeString}
	}
	return &huma.Param{Name: p.Name, In: p.In, Description: p.About, Required: p.Required, Schema: schema}
}

func number(n *int) *float64 {
	if n == nil {
		return nil
	}
	f := float64(*n)
	return &f
}

func (m maker) finish(o *huma.OpenAPI) *openapi3.T {
	raw, err := o.Downgrade()
	if err != nil {
		m.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		m.Fatal(err)
	}
	doc.Info.Description = "What the local cloud offers of this product, made of its code. Where it differs from what Magalu Cloud publishes is told in docs/openapi-differences.yaml of the source."
	for name, ref := range doc.Components.Schemas {
		if t := m.requests.types[name]; t != nil {
			finishRequest(ref, t)
		} else if t := m.responses.types[name]; t != nil {
			finishAnswer(ref.Value, t)
		}
	}
	openapi.Secure(doc, m.product.name)
	return doc
}

// finishRequest tells how bodies are read.
func finishRequest(ref *openapi3.SchemaRef, t reflect.Type) {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		ref.Value = openapi3.NewStringSchema() // a text that tells null from nothing
		return
	}
	ref.Value.Required = nil                               // handlers say in the answer what they miss
	ref.Value.AdditionalProperties = openapi3.BoolSchema{} // unknown members are ignored
	properties := openapi3.Schemas{}
	for name, property := range ref.Value.Properties {
		if first := name[:1]; first == strings.ToUpper(first) { // without a tag, and read in any case
			name = strings.ToLower(name)
		}
		properties[name] = property
	}
	ref.Value.Properties = properties
}

// finishAnswer tells which members may be null: pointers that are not left out.
func finishAnswer(schema *openapi3.Schema, t reflect.Type) {
	schema.AdditionalProperties = openapi3.BoolSchema{} // there may be more one day
	for _, field := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		property := schema.Properties[name]
		if property == nil || field.Type.Kind() != reflect.Pointer {
			continue
		}
		leftOut := strings.Contains(options, "omit")
		if property.Ref == "" {
			property.Value.Nullable = !leftOut
		} else if !leftOut {
			schema.Properties[name] = &openapi3.SchemaRef{Value: &openapi3.Schema{Nullable: true, AllOf: openapi3.SchemaRefs{property}}}
		}
	}
}

// schemas is a registry that gives every type a name of its own, also those that have none.
type schemas struct {
	huma.Registry
	types map[string]reflect.Type
}

func newSchemas(taken map[string]bool, suffix string) *schemas {
	s := &schemas{types: map[string]reflect.Type{}}
	s.Registry = huma.NewMapRegistry(componentPrefix, func(t reflect.Type, hint string) string {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		name := strings.ReplaceAll(huma.DefaultSchemaNamer(t, hint), "View", "")
		if t.Kind() != reflect.Struct {
			return name
		}
		first := name
		for i := 1; taken[name] && s.types[name] != t; i++ {
			if name = first + suffix; i > 1 || suffix == "" {
				name += strconv.Itoa(i + 1)
			}
		}
		s.types[name], taken[name] = t, true
		return name
	})
	return s
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
