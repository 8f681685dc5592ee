package contracttest

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/cloud/documents"
	"magalu.cloud/mke/internal/cloud/httpapi"
)

// ourNames are products that are called otherwise here than in the published documents.
var ourNames = map[string]string{"virtual-machine": "compute", "block-storage": "volume"}

func loadOurs(product string) (*openapi3.T, error) {
	data, err := documents.Files.ReadFile(cmp.Or(ourNames[product], product) + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		return &openapi3.T{Paths: openapi3.NewPaths()}, nil // of a product that is not the cloud's
	}
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, err
	}
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			for _, response := range operation.Responses.Map() {
				for _, media := range response.Value.Content {
					nothingElse(media.Schema.Value)
				}
			}
		}
	}
	return doc, nil
}

// nothingElse makes a schema refuse members that it does not name. Clients may get more one day; tests find what is not described.
func nothingElse(schema *openapi3.Schema) {
	no := false
	if len(schema.Properties) > 0 {
		schema.AdditionalProperties.Has = &no
	}
	for _, property := range schema.Properties {
		nothingElse(property.Value)
	}
	if schema.Items != nil {
		nothingElse(schema.Items.Value)
	}
	for _, parts := range []openapi3.SchemaRefs{schema.AllOf, schema.AnyOf} {
		for _, part := range parts {
			nothingElse(part.Value)
		}
	}
}

// CheckOurs is Check for our own document only, for what is not published.
func (c Checker) CheckOurs(t testing.TB, method, path string, status int, body []byte) {
	t.Helper()
	template, operation := find(c.ours, method, path)
	if operation == nil {
		t.Errorf("our document lacks %s %s", method, path)
		return
	}
	response := operation.Responses.Value(strconv.Itoa(status))
	if response == nil && status >= http.StatusBadRequest {
		response = operation.Responses.Default()
	}
	if response == nil {
		t.Errorf("our document: %s %s has no status %d: %s", method, path, status, body)
		return
	}
	if media := response.Value.Content.Get("application/json"); media != nil {
		validate(t, "our document", method, path, status, media.Schema.Value, body)
	} else if len(body) > 0 {
		t.Errorf("our document: %s %s has no body for %d, got %s", method, path, status, body)
	}
	if status < http.StatusMultipleChoices {
		c.mu.Lock()
		c.succeeded[method+" "+template] = true
		c.mu.Unlock()
	}
}

// Watch returns the request such that the test fails when its handler reads a parameter that our document does not have, or has otherwise.
func (c Checker) Watch(t testing.TB, r *http.Request) *http.Request {
	if c.contract == nil {
		return r
	}
	_, operation := find(c.ours, r.Method, r.URL.EscapedPath())
	return r.WithContext(httpapi.WithInspector(r.Context(), httpapi.Inspector{Param: func(p httpapi.Param) {
		if operation == nil {
			t.Errorf("our document lacks %s %s, which reads the parameter %s", r.Method, r.URL.Path, p.Name)
			return
		}
		if described := operation.Parameters.GetByInAndName(p.In, p.Name); described == nil || !same(p, described) {
			t.Errorf("our document: %s %s reads the %s parameter %+v, which is described as %+v", r.Method, r.URL.Path, p.In, p, described)
		}
	}}))
}

func same(p httpapi.Param, described *openapi3.Parameter) bool {
	schema := described.Schema.Value
	limit := func(mine *int, theirs *float64) bool {
		return mine == nil && theirs == nil || mine != nil && theirs != nil && float64(*mine) == *theirs
	}
	return schema.Type.Is(p.Kind) && described.Required == p.Required && described.Description == p.About && len(schema.Enum) == len(p.Enum) &&
		schema.Pattern == p.Pattern && limit(p.Min, schema.Min) && limit(p.Max, schema.Max) && bytes.Equal(httpapi.Encode(p.Default), httpapi.Encode(schema.Default))
}
