package mkeapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/problem"
)

// mutation is a request that was made from a good one.
type mutation struct {
	what string
	body string
	bad  bool // certainly; others may be accepted
}

// battery makes bad requests out of a schema and a good body.
type battery struct{ all []mutation }

// put makes a copy of the good body with the value at path replaced, or removed.
func put(good any, path []any, value any, remove bool) any {
	if len(path) == 0 {
		return value
	}
	switch at := path[0].(type) {
	case string:
		object := maps.Clone(good.(map[string]any))
		if remove && len(path) == 1 {
			delete(object, at)
		} else {
			object[at] = put(object[at], path[1:], value, remove)
		}
		return object
	case int:
		list := slices.Clone(good.([]any))
		list[at] = put(list[at], path[1:], value, remove)
		return list
	}
	panic("a path has names and numbers")
}

func (b *battery) add(good any, path []any, what string, value any, bad bool) {
	raw, err := json.Marshal(put(good, path, value, false))
	if err != nil {
		panic(err)
	}
	b.all = append(b.all, mutation{fmt.Sprintf("%v is %s", path, what), string(raw), bad})
}

// values that are no string, number, boolean, array, object.
var otherTypes = map[string]map[string]any{
	openapi3.TypeString:  {"a number": 1, "a list": []any{"x"}, "an object": map[string]any{"x": 1}, "true": true},
	openapi3.TypeInteger: {"a string": "1", "a list": []any{1}, "an object": map[string]any{}, "true": true, "a fraction": 1.5},
	openapi3.TypeBoolean: {"a string": "true", "a number": 1, "a list": []any{}, "an object": map[string]any{}},
	openapi3.TypeArray:   {"a string": "x", "a number": 1, "an object": map[string]any{}, "false": false},
	openapi3.TypeObject:  {"a string": "x", "a number": 1, "a list": []any{}, "false": false},
}

// numbers that no integer field takes.
var badNumbers = []json.Number{"-1", "2147483648", "9223372036854775807", "9223372036854775808", "1e300", "-1e300", "1e400"}

// freeText are fields whose text nobody checks, because they have no effect.
var freeText = []string{"zone", "cni", "tags", "value"}

// texts that are no name of anything.
func badTexts() map[string]string {
	return map[string]string{"long": strings.Repeat("a", 20_000), "empty": "", "a NUL": "a\x00b", "an emoji": "\U0001F600", "right to left": "\u202eabc", "combined": "a\u0301",
		"no UTF-8": "\xff\xfe", "SQL": "'; DROP TABLE clusters; --", "a path": "../../etc/passwd", "a template": "{{.}}${x}%s%n", "lines": "a\r\nSet-Cookie: x"}
}

func deep(n int) any {
	var v any = "x"
	for range n {
		v = []any{v}
	}
	return v
}

// mutate adds what can be wrong at one place of the good body and below.
func (b *battery) mutate(good any, schema *openapi3.Schema, path []any, present any) {
	kind := typeOf(schema)
	for what, value := range otherTypes[kind] {
		b.add(good, path, what, value, true)
	}
	b.add(good, path, "null", nil, false)
	b.add(good, path, "deep", deep(3000), len(path) > 0)
	name, _ := lastName(path)
	switch kind {
	case openapi3.TypeString:
		for what, text := range badTexts() {
			b.add(good, path, what, text, false)
		}
		b.add(good, path, "too long", strings.Repeat("x", 20_000), !slices.Contains(freeText, name))
	case openapi3.TypeInteger:
		for _, n := range badNumbers {
			b.add(good, path, n.String(), n, true)
		}
	case openapi3.TypeArray:
		list := make([]any, 5000)
		for i := range list {
			list[i] = present.([]any)[0]
		}
		b.add(good, path, "huge", list, true)
		b.mutate(good, schema.Items.Value, append(slices.Clone(path), 0), present.([]any)[0])
	case openapi3.TypeObject:
		b.mutateObject(good, schema, path, present.(map[string]any))
	}
}

func (b *battery) mutateObject(good any, schema *openapi3.Schema, path []any, present map[string]any) {
	if len(schema.Properties) > 0 {
		b.add(good, append(slices.Clone(path), "no_such_field"), "unknown", 1, true)
	} else { // labels
		for what, text := range badTexts() {
			b.add(good, append(slices.Clone(path), text), "named "+what, "v", text != "")
		}
		many := map[string]any{}
		for i := range 5000 {
			many[fmt.Sprint("k", i)] = "v"
		}
		b.add(good, path, "huge", many, true)
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		value, has := present[name]
		if !has {
			continue
		}
		at := append(slices.Clone(path), name)
		raw, err := json.Marshal(put(good, at, nil, true))
		if err != nil {
			panic(err)
		}
		b.all = append(b.all, mutation{fmt.Sprintf("%v is missing", at), string(raw), slices.Contains(schema.Required, name)})
		b.mutate(good, schema.Properties[name].Value, at, value)
	}
}

func typeOf(s *openapi3.Schema) string {
	for _, t := range s.Type.Slice() {
		if t != openapi3.TypeNull {
			return t
		}
	}
	for _, part := range s.AllOf {
		return typeOf(part.Value)
	}
	return openapi3.TypeObject
}

func lastName(path []any) (string, bool) {
	for _, p := range slices.Backward(path) {
		if name, ok := p.(string); ok {
			return name, true
		}
	}
	return "", false
}

// wholeBodies are wrong for every operation.
func wholeBodies() []mutation {
	return []mutation{
		{"empty", "", true}, {"white space", " \n", true}, {"null", "null", true}, {"a string", `"x"`, true}, {"a number", "1", true}, {"a list", "[{}]", true},
		{"cut off", `{"name":"c"`, true}, {"with something after it", `{"name":"c"} {}`, true}, {"a byte order mark", "\ufeff{}", true}, {"no UTF-8", "\xff\xfe{\x00}\x00", true},
		{"XML", "<name>c</name>", true}, {"YAML", "name: c", true}, {"brackets", strings.Repeat("[", 100_000), true}, {"objects", strings.Repeat(`{"a":`, 100_000), true},
		{"unknown fields", `{` + strings.Repeat(`"x":1,`, 1000) + `"y":1}`, true}, {"many unknown fields", manyFields(50_000), true}, {"large", `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, true},
	}
}

func manyFields(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"f%d":%d`, i, i)
	}
	return "{" + b.String()[1:] + "}"
}

// wantRefusal holds answers to bad requests to the catalogue.
func (r response) wantRefusal(m mutation) {
	r.t.Helper()
	switch {
	case r.StatusCode < 400 && m.bad:
		r.t.Errorf("%s: accepted with %d", m.what, r.StatusCode)
	case r.StatusCode >= 500:
		r.t.Errorf("%s: %d %s", m.what, r.StatusCode, r.body)
	case r.StatusCode >= 400:
		var body struct{ Slug, Message string }
		r.into(&body)
		if problem.Find(body.Slug) == nil || body.Message == "" || len(r.body) > 200_000 {
			r.t.Errorf("%s: %d with slug %q in %d bytes", m.what, r.StatusCode, body.Slug, len(r.body))
		}
	}
}

// TestInvalidRequests sends what the documents, the published one and ours, say is wrong. Dry runs leave nothing behind and so make no name taken.
func TestInvalidRequests(t *testing.T) {
	h := newHarness(t)
	_, subnets := h.cloud.DefaultVPC()
	id := h.createCluster(`{"name":"c","node_pools":[{"flavor":"BV2-4-40","name":"p","replicas":1}]}`)
	cluster := "/v0/clusters/" + id
	pool := cluster + "/node_pools/" + h.do(http.MethodGet, cluster, nil).object()["node_pools"].([]any)[0].(map[string]any)["id"].(string)
	goodPool := `{"name":"q","flavor":"BV2-4-40","replicas":1,"auto_scale":{"min_replicas":0,"max_replicas":3},"labels":{"a":"b"},"max_pods_per_node":64,
		"taints":[{"key":"k","value":"v","effect":"NoSchedule"}],"tags":["t"],"availability_zones":["a"],"network":{"subnet_ids":["` + subnets[0].ID + `"]}}`
	requests := map[string]struct{ method, path, good string }{
		"createCluster": {http.MethodPost, "/v0/clusters", `{"name":"d","version":"v1.34.2","description":"d","zone":"a","cni":"calico","enabled_bastion":false,"enabled_server_group":true,
			"deletion_protection":false,"allowed_cidrs":["10.0.0.0/8"],"cluster_ipv4_cidr":"192.168.0.0/16","services_ipv4_cidr":"10.96.0.0/12",
			"network":{"subnet_ids":["` + subnets[0].ID + `"]},"node_pools":[` + goodPool + `]}`},
		"patchCluster":   {http.MethodPatch, cluster, `{"allowed_cidrs":["10.0.0.0/8"],"description":"d","version":"v1.34.4","deletion_protection":true}`},
		"createNodePool": {http.MethodPost, cluster + "/node_pools", goodPool},
		"patchNodePool":  {http.MethodPatch, pool, `{"replicas":2,"auto_scale":{"min_replicas":0,"max_replicas":3},"flavor":"BV4-8-40","version":"v1.34.4"}`},
	}
	own, err := openapi3.NewLoader().LoadFromData(h.do(http.MethodGet, "/openapi.json", nil).want(http.StatusOK).body)
	if err != nil {
		t.Fatal(err)
	}
	documents := []*openapi3.T{own}
	if h.contract != nil {
		documents = append(documents, h.contract.doc)
	}
	for id, r := range requests {
		var good any
		if err := json.Unmarshal([]byte(r.good), &good); err != nil {
			t.Fatal(err)
		}
		h.do(r.method, r.path+"?dry_run=true", r.good).want(http.StatusOK)
		sent := map[string]bool{}
		for _, doc := range documents {
			b := battery{all: wholeBodies()}
			b.mutate(good, bodyOf(t, doc, id), nil, good)
			for _, m := range b.all {
				if sent[m.body] {
					continue
				}
				sent[m.body] = true
				m.what = id + ": " + m.what
				h.do(r.method, r.path+"?dry_run=true", m.body).wantRefusal(m)
			}
		}
		if len(sent) < 50 {
			t.Errorf("only %d requests were made for %s", len(sent), id)
		}
	}
}

func bodyOf(t *testing.T, doc *openapi3.T, id string) *openapi3.Schema {
	t.Helper()
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			if op.OperationID == id {
				return op.RequestBody.Value.Content.Get("application/json").Schema.Value
			}
		}
	}
	t.Fatal(errors.New("the document has no operation " + id))
	return nil
}

// TestInvalidAddresses sends wrong ids and parameters to every operation that takes some.
func TestInvalidAddresses(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	ids := []string{"x", "..", "%2e%2e%2f", "%00", "%ff", strings.Repeat("a", 5000), "5d3c1f0e-0000-4000-8000-00000000000g", "%27%20OR%201=1", "5d3c1f0e-0000-4000-8000-000000000001"}
	for path, item := range h.server.openapi.Paths {
		for method, exists := range map[string]bool{http.MethodGet: item.Get != nil, http.MethodPatch: item.Patch != nil, http.MethodPost: item.Post != nil, http.MethodDelete: item.Delete != nil} {
			for _, wrong := range ids {
				at := path
				for _, name := range []string{"{cluster_id}", "{node_pool_id}", "{operation_id}", "{addon_name}"} {
					at = strings.ReplaceAll(at, name, wrong)
				}
				if exists && at != path {
					h.do(method, at, `{"name":"x","flavor":"BV2-4-40","replicas":1}`).wantRefusal(mutation{method + " " + at, "", true})
				}
			}
		}
	}
	for _, value := range []string{"-1", "x", "1.5", "99999999999999999999", "%00", "%ff", "1%3b", strings.Repeat("9", 5000)} {
		for _, query := range []string{"/v0/clusters?_limit=", "/v0/clusters?_offset=", "/v0/clusters/" + id + "/operations?_limit=", "/v0/operations?state=", "/v0/operations?kind=",
			"/v0/operations?cluster_id=", "/v1alpha0/clusters/" + id + "/node-pools?_offset="} {
			h.do(http.MethodGet, query+value, nil).wantRefusal(mutation{query + value, "", true})
		}
		h.do(http.MethodDelete, "/v0/clusters/"+id+"?dry_run="+value, nil).wantRefusal(mutation{"dry_run=" + value, "", true})
		h.do(http.MethodDelete, "/v0/clusters/"+id+"?delete_volumes="+value, nil).wantRefusal(mutation{"delete_volumes=" + value, "", true})
		h.do(http.MethodGet, "/v0/clusters?expand="+value+"&_sort="+value, nil).want(http.StatusOK) // ignored
	}
}
