package gateway

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// Whatever a client asks for: nothing that is not for customers, and nothing that a server behind could read in another way.
func FuzzRoute(f *testing.F) {
	for _, seed := range []string{"/v0/clusters", "/br-se1/kubernetes/v0/clusters/x", "/iam/oauth/token", "/iam/../internal", "/iam//internal", "/br-se1", "/",
		"/iam/%69nternal/v1", "/v0/clusters/%2e%2e", "/compute/v1/instances\r\nX: y", "*", "internal", "//evil.example/v0", "/br-se1/br-se1/iam/internal/v1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		to, product, rest := route(u, "br-se1")
		if to == toNobody {
			if product != "" || rest != "" {
				t.Errorf("%q leads nowhere, but to %s %s", raw, product, rest)
			}
			return
		}
		segments := strings.Split(rest, "/")
		if !strings.HasPrefix(rest, "/") || slices.Contains(segments, "internal") || slices.Contains(segments, "..") || strings.Contains(rest, "//") ||
			strings.ContainsFunc(rest, unicode.IsControl) {
			t.Errorf("%q leads to %s %q", raw, product, rest)
		}
		if to == toGlobalProduct && !slices.Contains(globalProducts, product) || to == toRegion && !slices.Contains(regionalProducts, product) {
			t.Errorf("%q leads to the product %q", raw, product)
		}
	})
}

func TestDescriptionsNeedNoCredential(t *testing.T) {
	w := newWorld(t, nil)
	for path, behind := range map[string]string{"/br-se1/kubernetes/docs": "/docs", "/kubernetes/openapi.yaml": "/openapi.yaml", "/br-se1/compute/docs": "/br-se1/compute/docs",
		"/iam/openapi.json": "/iam/openapi.json"} {
		res := w.do("GET", path, "", "X-Api-Key", "", "X-Mke-Tenant-Id", "tenant-1")
		seen := w.seen.Load()
		if res.StatusCode != 200 || seen == nil || seen.path != behind || seen.header.Get("X-Mke-Tenant-Id") != "" {
			t.Errorf("%s: %d, %+v", path, res.StatusCode, seen)
		}
	}
	for _, request := range []string{"POST /kubernetes/docs", "GET /kubernetes/docs/x", "GET /v0/docs", "GET /docs", "GET /kubernetes/v0/clusters", "GET /compute/v1/docs"} {
		method, path, _ := strings.Cut(request, " ")
		if res := w.do(method, path, "{}", "X-Api-Key", ""); res.StatusCode != 401 || w.seen.Load() != nil {
			t.Errorf("%s: %d", request, res.StatusCode)
		}
	}
}
