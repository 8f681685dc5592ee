// Package openapi serves a product's OpenAPI document, and a page that people can read made of it. Both are public and need nothing
// from anywhere else.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"sigs.k8s.io/yaml"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/problem"
)

// Paths of a product that are public.
const (
	JSONPath = "/openapi.json"
	YAMLPath = "/openapi.yaml"
	DocsPath = "/docs"
)

// IsPublic tells whether a path, relative to a product, is one of them.
func IsPublic(path string) bool { return path == JSONPath || path == YAMLPath || path == DocsPath }

// Site is a product's document in all its forms.
type Site struct {
	json, yaml []byte
	pages      map[problem.Lang][]byte
}

// New prepares what is served. The document is OpenAPI 3.0.
func New(document []byte) (*Site, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	s := &Site{pages: map[problem.Lang][]byte{}}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, document, "", "  "); err != nil {
		return nil, err
	}
	s.json = append(pretty.Bytes(), '\n')
	if s.yaml, err = yaml.JSONToYAML(document); err != nil {
		return nil, err
	}
	for lang := range labels {
		if s.pages[lang], err = render(doc, lang); err != nil {
			return nil, fmt.Errorf("make the page of %s: %w", doc.Info.Title, err)
		}
	}
	return s, nil
}

// ServeHTTP answers the public paths, relative to the product.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	contentType, body := "application/json", s.json
	switch r.URL.Path {
	case YAMLPath:
		contentType, body = "application/yaml", s.yaml
	case DocsPath:
		contentType, body = "text/html; charset=utf-8", s.pages[problem.LangOf(r.Header.Get("Accept-Language"))]
		w.Header().Set("Vary", "Accept-Language")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body)
}

// Secure notes the credentials that a product takes, and for each operation the scopes and the permission that it needs.
func Secure(doc *openapi3.T, product string) {
	if doc.Components == nil {
		doc.Components = &openapi3.Components{}
	}
	doc.Components.SecuritySchemes = openapi3.SecuritySchemes{
		"ApiKey":     {Value: openapi3.NewSecurityScheme().WithType("apiKey").WithIn("header").WithName("X-Api-Key")},
		"BearerAuth": {Value: openapi3.NewSecurityScheme().WithType("http").WithScheme("bearer")},
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			needs, ok := access.Find(product, method, path)
			if !ok {
				continue
			}
			op.Security = &openapi3.SecurityRequirements{{"ApiKey": {}}, {"BearerAuth": {}}}
			op.Extensions = with(op.Extensions, "x-scopes", needs.Scopes)
			op.Extensions = with(op.Extensions, "x-permission", map[string]string{"permission-name": needs.Permission, "product-name": product})
		}
	}
}

func with(extensions map[string]any, name string, value any) map[string]any {
	if extensions == nil {
		extensions = map[string]any{}
	}
	extensions[name] = value
	return extensions
}
