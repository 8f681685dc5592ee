package gateway

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/mgc"
)

var parameters = regexp.MustCompile(`\{[a-z_]+\}`)

// Every operation of the Kubernetes product, and every way not to be allowed to do it. Revoked and expired keys are what IAM calls
// inactive; another tenant's objects are mke-api's matter.
func TestAuthorizationMatrix(t *testing.T) {
	w := newWorld(t, nil)
	const variable = "55555555-5555-4555-8555-555555555555"
	for _, o := range access.Operations() {
		if o.Product != "kubernetes" {
			continue
		}
		path := "/kubernetes" + parameters.ReplaceAllString(o.Path, "5f2c1f5e-0000-4000-8000-000000000000")
		ask := func(who string, identity *mgc.Identity, want int, slug string) {
			t.Helper()
			w.iam.mu.Lock()
			w.iam.keys[variable] = identity
			w.iam.mu.Unlock()
			clear(w.gateway.identities.entries)
			res := w.do(o.Method, path, "{}", "X-Api-Key", variable)
			if res.StatusCode != want {
				t.Errorf("%s %s, %s: status %d, want %d", o.Method, path, who, res.StatusCode, want)
			}
			if want == http.StatusOK {
				return
			}
			wantProblem(t, res, want, slug)
			if w.seen.Load() != nil {
				t.Errorf("%s %s, %s: it was forwarded", o.Method, path, who)
			}
		}
		wantProblem(t, w.do(o.Method, path, "{}", "X-Api-Key", ""), 401, "unauthorized")
		wantProblem(t, w.do(o.Method, path, "{}", "X-Api-Key", wrongKey), 401, "unauthorized")
		ask("inactive", &mgc.Identity{}, 401, "unauthorized")
		all := []string{access.All}
		for _, scope := range o.Scopes {
			others := slices.DeleteFunc(slices.Clone(o.Scopes), func(s string) bool { return s == scope })
			ask("without "+scope, &mgc.Identity{Active: true, TenantID: "t", Scopes: others, Permissions: all}, 403, "forbidden")
		}
		ask("without permission", &mgc.Identity{Active: true, TenantID: "t", Scopes: all, Permissions: []string{"kubernetes_other"}}, 403, "permission_missing")
		ask("with nothing but what is needed", &mgc.Identity{Active: true, TenantID: "t", Scopes: o.Scopes, Permissions: []string{o.Permission}}, 200, "")
	}
}

// An operation that no table has, such as one that was added a moment ago, is not open to everybody.
func TestUnknownOperationsNeedScopes(t *testing.T) {
	w := newWorld(t, nil)
	for method, want := range map[string]int{"GET": 200, "POST": 403} {
		if res := w.do(method, "/v1alpha0/something-new", "{}", "X-Api-Key", readKey); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", method, res.StatusCode, want)
		}
	}
	o := operationOf("POST", "/v1alpha0/something-new")
	if !strings.HasPrefix(o.Permission, "kubernetes_") || len(o.Scopes) == 0 {
		t.Errorf("got %+v", o)
	}
}
