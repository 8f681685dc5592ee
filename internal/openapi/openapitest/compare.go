// Package openapitest compares our OpenAPI documents with the published ones.
package openapitest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"sigs.k8s.io/yaml"
)

// List is the file in which every difference is told and justified, relative to the repository.
const List = "docs/openapi-differences.yaml"

// entry of the list: a * in a difference stands for anything.
type entry struct{ Difference, Why string }

// Check fails for a difference that is not listed, and for one that is listed and does not exist.
func Check(t *testing.T, root, product string, ours, published *openapi3.T) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, List))
	if err != nil {
		t.Fatal(err)
	}
	list := map[string][]entry{}
	if err := yaml.UnmarshalStrict(raw, &list); err != nil {
		t.Fatal(err)
	}
	unseen := map[string]bool{}
	for _, e := range list[product] {
		unseen[e.Difference] = true
		if e.Why == "" {
			t.Errorf("%s: %s is not justified", product, e.Difference)
		}
	}
	for _, d := range Differences(ours, published) {
		listed := false
		for _, e := range list[product] {
			if covers(e.Difference, d) {
				listed = true
				delete(unseen, e.Difference)
			}
		}
		if !listed {
			t.Errorf("%s differs from what is published, and %s does not say why: %s", product, List, d)
		}
	}
	for d := range unseen {
		t.Errorf("%s: there is no such difference any more: %s", product, d)
	}
}

func covers(pattern, difference string) bool {
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), `\*`, ".*") + "$").MatchString(difference)
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// operations of a document, by method and path; what parameters are called makes no difference.
func operations(doc *openapi3.T) map[string]*openapi3.Operation {
	all := map[string]*openapi3.Operation{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			with := *op
			with.Parameters = slices.Concat(item.Parameters, op.Parameters)
			all[method+" "+parameter.ReplaceAllString(path, "{}")] = &with
		}
	}
	return all
}

// Differences are sorted; each says where and what.
func Differences(ours, published *openapi3.T) (differences []string) {
	mine, theirs := operations(ours), operations(published)
	for name := range union(mine, theirs) {
		tell := func(format string, args ...any) {
			differences = append(differences, name+": "+fmt.Sprintf(format, args...))
		}
		switch {
		case theirs[name] == nil:
			tell("ours")
		case mine[name] == nil:
			tell("not offered")
		case mine[name].Extensions["x-unavailable"] != nil:
			tell("501")
		default:
			compareOperation(mine[name], theirs[name], tell)
		}
	}
	slices.Sort(differences)
	return slices.Compact(differences)
}

type teller func(format string, args ...any)

func compareOperation(mine, theirs *openapi3.Operation, tell teller) {
	for _, in := range []string{"query", "header"} {
		m, t := parameters(mine, in), parameters(theirs, in)
		for name := range union(m, t) {
			switch {
			case !t[name]:
				tell("%s parameter %s ours", in, name)
			case !m[name]:
				tell("%s parameter %s not described", in, name)
			}
		}
	}
	compareSchemas("request", bodyOf(mine), bodyOf(theirs), tell)
	m, t := mine.Responses.Map(), theirs.Responses.Map()
	for status := range union(m, t) {
		success := strings.HasPrefix(status, "2")
		switch {
		case status == "default" || !success && m["default"] != nil:
		case m[status] == nil:
			tell("status %s not described", status)
		case t[status] == nil:
			tell("status %s ours", status)
		case success:
			compareSchemas("answer", schemaOf(m[status].Value.Content), schemaOf(t[status].Value.Content), tell)
		}
	}
}

func parameters(op *openapi3.Operation, in string) map[string]bool {
	found := map[string]bool{}
	for _, p := range op.Parameters {
		if p.Value.In == in {
			found[p.Value.Name] = true
		}
	}
	return found
}

func bodyOf(op *openapi3.Operation) *openapi3.Schema {
	if op.RequestBody == nil {
		return nil
	}
	return schemaOf(op.RequestBody.Value.Content)
}

func schemaOf(content openapi3.Content) *openapi3.Schema {
	for _, media := range content {
		if media.Schema != nil {
			return media.Schema.Value
		}
	}
	return nil
}

// compareSchemas goes down into members as long as both sides have them.
func compareSchemas(at string, mine, theirs *openapi3.Schema, tell teller) {
	switch {
	case mine == nil && theirs == nil:
		return
	case mine == nil:
		tell("%s not described", at)
		return
	case theirs == nil:
		tell("%s ours", at)
		return
	}
	a, b := members(mine, 0), members(theirs, 0)
	if b.items == nil && len(b.properties) == 0 && (b.kind == "" || b.kind == "object") {
		return // anything
	}
	if len(a.properties) > 0 || len(b.properties) > 0 {
		for name := range union(a.properties, b.properties) {
			where := at + " " + name
			switch {
			case b.properties[name] == nil:
				tell("%s ours", where)
			case a.properties[name] == nil:
				tell("%s not described", where)
			default:
				// To ask for less and to answer more breaks no client.
				if asks := strings.HasPrefix(at, "request"); asks && a.required[name] && !b.required[name] {
					tell("%s is required here", where)
				} else if !asks && b.always[name] && !a.required[name] {
					tell("%s may be missing here", where)
				}
				compareSchemas(where, a.properties[name].Value, b.properties[name].Value, tell)
			}
		}
	}
	if a.items != nil && b.items != nil {
		compareSchemas(at+"[]", a.items.Value, b.items.Value, tell)
	}
	if a.kind != "" && b.kind != "" && a.kind != b.kind {
		tell("%s %s, published: %s", at, a.kind, b.kind)
	}
}

// shape is a schema with what its parts say together.
type shape struct {
	kind       string
	properties openapi3.Schemas
	required   map[string]bool // by any part
	always     map[string]bool // also where there are alternatives
	items      *openapi3.SchemaRef
}

func members(s *openapi3.Schema, depth int) shape {
	all := shape{properties: openapi3.Schemas{}, required: map[string]bool{}, always: map[string]bool{}, items: s.Items}
	maps.Copy(all.properties, s.Properties)
	for _, name := range s.Required {
		all.required[name], all.always[name] = true, true
	}
	if s.Type != nil && len(s.Type.Slice()) > 0 {
		all.kind = s.Type.Slice()[0]
	}
	kinds := map[string]bool{}
	for i, part := range slices.Concat(s.AllOf, s.AnyOf, s.OneOf) {
		if part.Value == nil || depth > 5 {
			continue
		}
		of := members(part.Value, depth+1)
		maps.Copy(all.properties, of.properties)
		maps.Copy(all.required, of.required)
		if i < len(s.AllOf) || alternatives(s) == 1 {
			maps.Copy(all.always, of.always)
		}
		if of.kind != "" && of.kind != "null" {
			kinds[of.kind] = true
			all.kind = of.kind
		}
		if of.items != nil {
			all.items = of.items
		}
	}
	if len(kinds) > 1 {
		all.kind = "" // one or the other
	}
	return all
}

// alternatives are how many there are beside null.
func alternatives(s *openapi3.Schema) (n int) {
	for _, part := range slices.Concat(s.AnyOf, s.OneOf) {
		if part.Value != nil && !part.Value.Type.Is("null") {
			n++
		}
	}
	return n
}

func union[V any](a, b map[string]V) map[string]bool {
	all := map[string]bool{}
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}
