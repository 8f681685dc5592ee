package cloud

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"magalu.cloud/mke/internal/cloud/contracttest"
	"magalu.cloud/mke/internal/openapi/openapitest"
)

// The documents are what routes and handlers say, and differ from the published ones only as docs/openapi-differences.yaml tells.
func TestDocuments(t *testing.T) {
	public, _ := newHandlers(t)
	services := newTestServices(t)
	for _, p := range services.products() {
		t.Run(p.name, func(t *testing.T) {
			doc := documentOf(t, p, public)
			raw, err := json.MarshalIndent(doc, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			file := "documents/" + p.name + ".json"
			if *update {
				if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if have, err := os.ReadFile(file); err != nil || !bytes.Equal(bytes.TrimSpace(have), raw) {
				t.Errorf("%s is out of date (%v): run go test ./internal/cloud -run %s -update", file, err, t.Name())
			}
			read, err := openapi3.NewLoader().LoadFromData(raw)
			if err != nil {
				t.Fatal(err)
			}
			if err := read.Validate(t.Context()); err != nil {
				t.Error(err)
			}
			if contract := contracttest.Document(t, publishedAs[p.name]); contract != nil {
				openapitest.Check(t, "../..", p.name, read, contract)
			}
		})
	}
}

// Everyone may read the documents; the page needs nothing from elsewhere.
func TestDocumentsArePublic(t *testing.T) {
	public, _ := newHandlers(t)
	elsewhere := regexp.MustCompile(`(?i)(src|href)\s*=\s*["']?(https?:)?//|url\(|@import|<script`)
	services := newTestServices(t)
	for _, p := range services.products() {
		product := p.name
		for path, want := range map[string]string{"/openapi.json": "application/json", "/openapi.yaml": "application/yaml", "/docs": "text/html; charset=utf-8"} {
			for _, prefix := range []string{"/", "/br-se1/"} {
				req := httptest.NewRequest(http.MethodGet, prefix+product+path, nil)
				req.Header.Set("Accept-Language", "pt-BR")
				rec := httptest.NewRecorder()
				public.ServeHTTP(rec, req)
				if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != want || rec.Body.Len() < 500 {
					t.Errorf("%s: %d %v, %d bytes", req.URL.Path, rec.Code, rec.Header(), rec.Body.Len())
				}
				if path == "/docs" && (elsewhere.Match(rec.Body.Bytes()) || !strings.Contains(rec.Body.String(), `lang="pt-BR"`)) {
					t.Errorf("%s: %.300s", req.URL.Path, rec.Body)
				}
			}
		}
	}
	if rec := ask(public, http.MethodPost, "/compute/openapi.json", "", "{}"); rec.Code < 400 {
		t.Errorf("POST: %d", rec.Code)
	}
}

// What handlers read past package httpapi would be in no document.
func TestParametersAreReadByHelpers(t *testing.T) {
	past := regexp.MustCompile(`URL\.Query\(\)|RawQuery|\.Header\.(Get|Values)\(`)
	seen := 0
	for _, product := range []string{"compute", "volume", "network", "loadbalancer", "iam", "profile"} {
		files, err := filepath.Glob(product + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || signsIn[file] {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			seen++
			if found := past.Find(source); found != nil {
				t.Errorf("%s reads with %s: use httpapi's functions for parameters", file, found)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d files were read", seen)
	}
}

// signsIn are the files that serve OAuth and the pages of a sign-in, which are no operations of the product.
var signsIn = map[string]bool{"iam/signin.go": true, "iam/caller.go": true}
