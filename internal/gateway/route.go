package gateway

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/openapi"
	"magalu.cloud/mke/internal/problem"
)

// target is one of the servers behind the gateway.
type target int

const (
	toNobody        target = iota
	toAPI                  // the Kubernetes product
	toRegion               // a regional product of the cloud
	toGlobalProduct        // a product of the cloud that has no region
)

var (
	apiVersions      = []string{"v0", "v1", "v1alpha0"}
	regionalProducts = []string{"compute", "network", "load-balancer", "volume"}
	globalProducts   = []string{"iam", "profile"}
)

// route decides where a request goes and under which path: with or without the region, Kubernetes also without the product's name.
// Ways into the cloud that are not for customers lead nowhere.
func route(u *url.URL, region string) (to target, product, rest string) {
	if u.RawPath != "" || strings.ContainsFunc(u.Path, unicode.IsControl) || !strings.HasPrefix(u.Path, "/") || (path.Clean(u.Path) != u.Path && path.Clean(u.Path)+"/" != u.Path) {
		return toNobody, "", "" // no published path needs escapes, control characters, dots or double slashes
	}
	segments := strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	if segments[0] == region {
		segments = segments[1:]
	}
	if len(segments) == 0 || slices.Contains(segments, "internal") {
		return toNobody, "", ""
	}
	first, below := segments[0], "/"+strings.Join(segments[1:], "/")
	switch {
	case first == "kubernetes":
		return toAPI, "kubernetes", below
	case slices.Contains(apiVersions, first):
		return toAPI, "kubernetes", "/" + strings.Join(segments, "/")
	case slices.Contains(regionalProducts, first):
		return toRegion, first, "/" + first + below
	case slices.Contains(globalProducts, first):
		return toGlobalProduct, first, "/" + first + below
	}
	return toNobody, "", ""
}

// needsNoCredential tells whether it is a page or call with which one gets a credential, or the description of a product.
func needsNoCredential(to target, method, product, rest string) bool {
	if to == toGlobalProduct && givesCredential(rest) {
		return true
	}
	return to != toNobody && method == http.MethodGet && openapi.IsPublic(strings.TrimPrefix(rest, "/"+product))
}

// givesCredential tells whether a path beside the regions is a page or call of IAM with which one gets a credential.
func givesCredential(rest string) bool {
	return strings.HasPrefix(rest, "/iam/oauth/") || strings.HasPrefix(rest, "/iam/.well-known/")
}

// operationOf finds what a request asks of the Kubernetes product. What the table does not have, a new addition of ours or nothing at
// all, needs what seeing or changing a cluster needs.
func operationOf(method, rest string) access.Operation {
	if o, ok := access.Find("kubernetes", method, rest); ok {
		return o
	}
	if mutates(method) {
		return access.Operation{Permission: "kubernetes_cluster_update", Scopes: []string{"mke.write"}}
	}
	return access.Operation{Permission: "kubernetes_cluster_get", Scopes: []string{"mke.read"}}
}

// authorize says what the identity lacks for a request to the Kubernetes product. The cloud's products check by themselves.
func authorize(identity *mgc.Identity, method, rest string) *problem.Error {
	operation := operationOf(method, rest)
	if scope := operation.MissingScope(identity.Scopes); scope != "" {
		return problem.New(problem.Forbidden, scope)
	}
	if !access.Has(identity.Permissions, operation.Permission) {
		return problem.New(problem.PermissionMissing, operation.Permission)
	}
	return nil
}

func mutates(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}
