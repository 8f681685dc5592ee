package cloud

import (
	"fmt"
	"net/http"
	"strings"
	"sync"

	"github.com/go-chi/chi/v5"

	"magalu.cloud/mke/internal/cloud/documents"
	"magalu.cloud/mke/internal/openapi"
)

// sites are the documents by product, made once: the daemon serves them on its address and on its socket.
var sites = sync.OnceValues(func() (map[string]*openapi.Site, error) {
	files, err := documents.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	made := map[string]*openapi.Site{}
	for _, file := range files {
		data, err := documents.Files.ReadFile(file.Name())
		if err != nil {
			return nil, err
		}
		if made[strings.TrimSuffix(file.Name(), ".json")], err = openapi.New(data); err != nil {
			return nil, err
		}
	}
	return made, nil
})

// registerDocuments serves the document of a product to everyone.
func registerDocuments(r chi.Router, product string) error {
	made, err := sites()
	if err != nil {
		return err
	}
	if made[product] == nil {
		return fmt.Errorf("there is no OpenAPI document of %s", product)
	}
	for _, path := range []string{openapi.JSONPath, openapi.YAMLPath, openapi.DocsPath} {
		r.Method(http.MethodGet, path, http.StripPrefix("/"+product, made[product]))
	}
	return nil
}
