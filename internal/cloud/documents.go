package cloud

import (
	"embed"
	"net/http"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/openapi"
)

// documentFiles are the products' OpenAPI documents. A test makes them of the routes and of what handlers read, with -update, and fails
// when they are out of date.
//
//go:embed openapi
var documentFiles embed.FS

// registerDocuments serves the document of a product to everyone.
func registerDocuments(r chi.Router, product string) error {
	data, err := documentFiles.ReadFile("openapi/" + product + ".json")
	if err != nil {
		return err
	}
	site, err := openapi.New(data)
	if err != nil {
		return err
	}
	for _, path := range []string{openapi.JSONPath, openapi.YAMLPath, openapi.DocsPath} {
		r.Method(http.MethodGet, path, http.StripPrefix("/"+product, site))
	}
	return nil
}
