package mkeapi

import (
	"encoding/json"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/openapi"
)

const documentIntroduction = "Kubernetes clusters: what Magalu Cloud publishes of this product, and our extensions. " +
	"Where the two differ, and why, is told in docs/openapi-differences.yaml of the source."

// document makes what is public about the API from its routes and types.
func document(o *huma.OpenAPI) (*openapi.Site, error) {
	raw, err := o.Downgrade() // to OpenAPI 3.0, which the published clients' generators read
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return nil, err
	}
	doc.Info.Description = documentIntroduction
	openapi.Secure(doc, "kubernetes")
	if raw, err = json.Marshal(doc); err != nil {
		return nil, err
	}
	return openapi.New(raw)
}

// public answers what needs no tenant.
func (s *Server) public(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && openapi.IsPublic(r.URL.Path) {
			s.site.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
