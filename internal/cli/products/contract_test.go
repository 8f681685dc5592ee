package products

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/access"
)

// hidden are published operations without a command.
var hidden = map[string]string{
	"compute GET /v1/instance-types":  "the same list as machine-types, which the published CLI has",
	"iam POST /api/v1/admins/sync":    "hidden by its publisher, and there is nothing to synchronize",
	"iam POST /api/v1/groups/migrate": "hidden by its publisher, and there is nothing to migrate",
}

// unpublished are operations and fields that the documents lack.
var unpublished = map[string]string{
	"network PATCH /v0/vpcs/{id}/rename":                                "the published clients call it",
	"iam POST /api/v1/service-accounts/{sa_uuid}/api-keys end_validity": "an addition of MKE",
}

// TestEveryOperationHasACommand holds the tables against what the local cloud answers.
func TestEveryOperationHasACommand(t *testing.T) {
	commands := map[string]string{}
	for _, p := range All {
		for i := range p.Calls {
			c := &p.Calls[i]
			if other := commands[p.Name+" "+c.Use]; other != "" {
				t.Errorf("%s %s is two commands", p.Name, c.Use)
			}
			commands[p.Name+" "+c.Use] = c.Request
			if !slices.ContainsFunc(access.Operations(), func(o access.Operation) bool {
				return o.Product == p.Path && nameless(o.Method+" "+o.Path) == nameless(c.Request)
			}) {
				t.Errorf("%s %s: the cloud has no %s", p.Name, c.Use, c.Request)
			}
		}
	}
	for _, o := range access.Operations() {
		name := o.Product + " " + o.Method + " " + o.Path
		i := slices.IndexFunc(All, func(p *Product) bool { return p.Path == o.Product })
		switch {
		case i < 0 && o.Product != "kubernetes":
			t.Errorf("no table for %s", name)
		case i >= 0 && (All[i].Find(o.Method+" "+o.Path) == nil) != (hidden[name] != ""):
			t.Errorf("%s: it must have a command, or a reason why not", name)
		}
	}
}

func TestTablesAgainstPublishedDocuments(t *testing.T) {
	dir := os.Getenv("MKE_OPENAPI_DIR")
	if dir == "" {
		fmt.Fprintln(os.Stderr, "WARNING: mgc's commands are NOT compared with the published documents: MKE_OPENAPI_DIR is not set")
		t.Skip("MKE_OPENAPI_DIR is not set")
	}
	for _, p := range All {
		doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(dir, p.Name+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Calls {
			c := &p.Calls[i]
			o := operation(doc, c)
			if o == nil {
				if unpublished[p.Path+" "+c.Request] == "" {
					t.Errorf("%s %s: %s is not published", p.Name, c.Use, c.Request)
				}
				continue
			}
			compare(t, p, c, o)
			checkColumns(t, p, c, o)
		}
	}
}

func operation(doc *openapi3.T, c *Call) *openapi3.Operation {
	for path, item := range doc.Paths.Map() {
		if nameless(path) == nameless(c.Path()) {
			return item.GetOperation(c.Method())
		}
	}
	return nil
}

// compare wants the same fields in the table and in the document, with the same bounds.
func compare(t *testing.T, p *Product, c *Call, o *openapi3.Operation) {
	t.Helper()
	published := map[string]Field{}
	for _, ref := range o.Parameters {
		if q := ref.Value; q.In != openapi3.ParameterInPath {
			place := map[string]Place{"query": Query, "header": Header}[q.In]
			f := describe(q.Schema.Value, place, q.Required)
			if q.Required && q.Schema.Value.Default != nil {
				f.Required, f.Default = false, "sent"
			}
			published[q.Name] = f
		}
	}
	if o.RequestBody != nil {
		for _, media := range o.RequestBody.Value.Content {
			flatten(published, "", media.Schema.Value)
		}
	}
	for i := range c.Fields {
		f := c.Fields[i]
		key := strings.Join(f.Keys(), ".")
		if f.Key != "" && !strings.ContainsAny(f.Key, "-_") {
			t.Errorf("%s %s --%s: its key follows from its flag", p.Name, c.Use, f.Flag)
		}
		want, ok := published[key]
		if !ok {
			if unpublished[p.Path+" "+c.Request+" "+key] == "" {
				t.Errorf("%s %s --%s: %s has no field %s", p.Name, c.Use, f.Flag, c.Request, key)
			}
			continue
		}
		delete(published, key)
		got := Field{Kind: f.Kind, In: f.Place(c.Method()), Required: f.Required, OneOf: f.OneOf, Min: f.Min, Max: f.Max}
		if f.Default != "" {
			got.Default = "sent"
		}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("%s %s --%s:\n is %+v\nnot %+v", p.Name, c.Use, f.Flag, got, want)
		}
	}
	for key := range published {
		t.Errorf("%s %s: no flag for %s", p.Name, c.Use, key)
	}
}

// describe is a published field without its names.
func describe(s *openapi3.Schema, place Place, required bool) Field {
	whole := *s
	if variants := variantsOf(s); len(variants) > 0 { // one type, or null
		whole = *variants[0]
	}
	f := Field{In: place, Required: required}
	number := func(v *float64) int {
		if v == nil {
			return 0
		}
		return int(*v)
	}
	length := func(v *uint64) int {
		if v == nil {
			return 0
		}
		return int(*v)
	}
	for _, e := range whole.Enum {
		f.OneOf = append(f.OneOf, fmt.Sprint(e))
	}
	if whole.Pattern == "^(pip|default)$" {
		f.OneOf = []string{"pip", "default"}
	}
	switch {
	case whole.Type.Is("integer"), whole.Type.Is("number"):
		f.Kind, f.Min, f.Max = Number, number(whole.Min), number(whole.Max)
		if whole.Type.Is("number") {
			f.Kind = Decimal
		}
	case whole.Type.Is("boolean"):
		f.Kind = Bool
	case whole.Type.Is("array"):
		f.Kind, f.Min, f.Max = List, int(whole.MinItems), length(whole.MaxItems)
		if items := whole.Items.Value; items.Type.Is("string") {
			f.Kind = Strings
			for _, e := range items.Enum {
				f.OneOf = append(f.OneOf, fmt.Sprint(e))
			}
		}
	case whole.Type.Is("object"), len(whole.Properties) > 0:
		f.Kind = Object
	default:
		f.Min, f.Max = int(whole.MinLength), length(whole.MaxLength)
	}
	return f
}

// variantsOf are the alternatives of a schema, without null.
func variantsOf(s *openapi3.Schema) []*openapi3.Schema {
	var list []*openapi3.Schema
	for _, refs := range []openapi3.SchemaRefs{s.AnyOf, s.OneOf, s.AllOf} {
		for _, r := range refs {
			if !r.Value.Type.Is("null") {
				list = append(list, r.Value)
			}
		}
	}
	return list
}

// flatten lists the fields of a body's object, and of the objects in it. Of alternatives no part is required.
func flatten(into map[string]Field, prefix string, s *openapi3.Schema) {
	variants := variantsOf(s)
	objects := []*openapi3.Schema{s}
	if len(variants) > 0 {
		objects = variants
	}
	for _, object := range objects {
		for _, name := range slices.Sorted(maps.Keys(object.Properties)) {
			value := object.Properties[name].Value
			f := describe(value, Usual, len(variants) < 2 && slices.Contains(object.Required, name))
			into[prefix+name] = f
			if f.Kind == Object {
				flatten(into, prefix+name+".", value)
			}
		}
	}
}

// checkColumns wants a list's key and the columns of its table in the published answer.
func checkColumns(t *testing.T, p *Product, c *Call, o *openapi3.Operation) {
	t.Helper()
	if c.Method() != http.MethodGet {
		return
	}
	answer := o.Responses.Status(200).Value.Content["application/json"]
	if answer == nil || answer.Schema == nil {
		return
	}
	s := answer.Schema.Value
	if c.List == "" {
		if s.Type.Is("array") {
			t.Errorf("%s %s: its answer is a list", p.Name, c.Use)
		}
		return
	}
	var prefix []string
	if c.List != "." {
		prefix = []string{c.List}
	}
	for _, column := range strings.Fields(c.Columns) {
		title, path, ok := strings.Cut(column, "=")
		if !ok {
			path = strings.TrimSuffix(title, "~")
		}
		if !leads(s, append(prefix, strings.Split(path, ".")...)) {
			t.Errorf("%s %s: no item has %s", p.Name, c.Use, path)
		}
	}
}

// leads tells whether keys lead to something, through lists and alternatives.
func leads(s *openapi3.Schema, keys []string) bool {
	if s.Items != nil {
		return leads(s.Items.Value, keys)
	}
	if slices.ContainsFunc(variantsOf(s), func(v *openapi3.Schema) bool { return leads(v, keys) }) || len(keys) == 0 {
		return true
	}
	property := s.Properties[keys[0]]
	return property != nil && leads(property.Value, keys[1:])
}
