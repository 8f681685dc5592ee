package gateway

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
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
	if u.RawPath != "" || !strings.HasPrefix(u.Path, "/") || (path.Clean(u.Path) != u.Path && path.Clean(u.Path)+"/" != u.Path) {
		return toNobody, "", "" // no published path needs escapes, dots or double slashes
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

// requiredScopes are the published scopes of an operation of the Kubernetes product. The other products check scopes themselves.
// createCluster also names pa:sa:manage; it is not required here, because the platform makes the service account with its own key.
func requiredScopes(method, rest string) []string {
	switch method {
	case http.MethodGet, http.MethodHead:
		return []string{"mke.read"}
	case http.MethodPatch:
		if !strings.Contains(rest, "/node_pools") {
			return []string{"mke.read", "mke.write"}
		}
	}
	return []string{"mke.write"}
}

func mutates(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}
