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
