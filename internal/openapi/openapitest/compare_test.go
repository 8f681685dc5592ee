package openapitest

import (
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
)

func load(t *testing.T, paths string) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte("openapi: 3.0.3\ninfo: {title: x, version: '1'}\npaths:\n" + paths))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDifferences(t *testing.T) {
	ours := load(t, `
  /things/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}, {name: mine, in: query, schema: {type: string}}]
      responses: {"200": {description: x, content: {application/json: {schema: {type: object, properties: {a: {type: string}, list: {type: array, items: {type: object, properties: {b: {type: integer}}}}}}}}}, default: {description: x}}
    put:
      requestBody: {content: {application/json: {schema: {type: object, required: [a, c], properties: {a: {type: string}, c: {type: string}}}}}}
      responses: {"204": {description: x}}
  /off: {get: {x-unavailable: true, responses: {"501": {description: x}}}}
  /mine: {get: {responses: {"200": {description: x}}}}`)
	published := load(t, `
  /things/{thing}:
    get:
      parameters: [{name: thing, in: path, required: true, schema: {type: string}}, {name: theirs, in: query, schema: {type: string}}]
      responses: {"200": {description: x, content: {application/json: {schema: {allOf: [{type: object, required: [a], properties: {a: {type: string}}}, {type: object, properties: {list: {type: array, items: {type: object, properties: {b: {type: string}}}}}}]}}}}, "404": {description: x}}
    put:
      requestBody: {content: {application/json: {schema: {type: object, required: [a], properties: {a: {type: string}, c: {type: string}, d: {type: string}}}}}}
      responses: {"202": {description: x}}
  /off: {get: {responses: {"200": {description: x}}}}
  /theirs: {get: {responses: {"200": {description: x}}}}`)
	want := []string{
		"GET /mine: ours",
		"GET /off: 501",
		"GET /theirs: not offered",
		"GET /things/{}: answer a may be missing here",
		"GET /things/{}: answer list[] b integer, published: string",
		"GET /things/{}: query parameter mine ours",
		"GET /things/{}: query parameter theirs not described",
		"PUT /things/{}: request c is required here",
		"PUT /things/{}: request d not described",
		"PUT /things/{}: status 202 not described",
		"PUT /things/{}: status 204 ours",
	}
	if diff := cmp.Diff(want, Differences(ours, published)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if same := Differences(ours, ours); len(same) != 1 || !strings.HasSuffix(same[0], "501") {
		t.Errorf("a document differs from itself: %v", same)
	}
}

func TestCovers(t *testing.T) {
	for pattern, want := range map[string]bool{"GET /a/{}: ours": true, "GET *: ours": true, "*": true, "GET /a/x: ours": false, "GET /a": false} {
		if covers(pattern, "GET /a/{}: ours") != want {
			t.Errorf("%s: %t", pattern, !want)
		}
	}
}

// Of several alternatives no member is required, and one that may be anything differs from nothing.
func TestAlternatives(t *testing.T) {
	answers := func(schema string) *openapi3.T {
		return load(t, "\n  /thing: {get: {responses: {'200': {description: x, content: {application/json: {schema: "+schema+"}}}}}}")
	}
	ours := answers("{type: object, required: [id], properties: {id: {type: string}, name: {type: string}}}")
	for published, want := range map[string][]string{
		"{anyOf: [{type: object, required: [id], properties: {id: {type: string}}}, {type: object, required: [id, name], properties: {id: {type: string}, name: {type: string}}}]}": nil,
		"{anyOf: [{type: object, required: [name], properties: {id: {type: string}, name: {type: string}}}]}":                                                                       {"GET /thing: answer name may be missing here"},
		"{anyOf: [{type: object, properties: {id: {type: string}, name: {type: string}}}, {type: array, items: {type: string}}]}":                                                   nil,
		"{}":             nil,
		"{type: object}": nil,
		"{type: string}": {"GET /thing: answer id ours", "GET /thing: answer name ours", "GET /thing: answer object, published: string"},
	} {
		if diff := cmp.Diff(want, Differences(ours, answers(published))); diff != "" {
			t.Errorf("%s (-want +got)\n%s", published, diff)
		}
	}
}
