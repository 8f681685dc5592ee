package access

import (
	"slices"
	"testing"
)

func TestFind(t *testing.T) {
	for _, c := range []struct{ product, method, path, permission string }{
		{"kubernetes", "GET", "/v0/clusters", "kubernetes_cluster_list"},
		{"kubernetes", "HEAD", "/v0/clusters", "kubernetes_cluster_list"},
		{"kubernetes", "GET", "/v0/clusters/x", "kubernetes_cluster_get"},
		{"kubernetes", "GET", "/v0/clusters/x/kubeconfig", "kubernetes_cluster_access"},
		{"kubernetes", "PUT", "/v0/clusters/x", ""},
		{"compute", "GET", "/v1/images/custom", "vm_custom_image_list"},
		{"iam", "GET", "/api/v1/groups/exists", "turia_iam_viewer"},
		{"iam", "GET", "/api/v1/service-accounts/", "turia_iam_viewer"},
		{"iam", "PATCH", "/api/v1/members/grants/batch", "turia_iam_adm"},
		{"dbaas", "GET", "/v1/instances", ""},
	} {
		o, ok := Find(c.product, c.method, c.path)
		if o.Permission != c.permission || ok != (c.permission != "") {
			t.Errorf("%s %s %s: %q, %v", c.method, c.product, c.path, o.Permission, ok)
		}
	}
}

func TestParameters(t *testing.T) {
	const path = "/v0/clusters/x/node_pools/y"
	if o, _ := Find("kubernetes", "DELETE", path); !slices.Equal(o.Parameters(path), []string{"x", "y"}) {
		t.Errorf("got %v", o.Parameters(path))
	}
	if values := (Operation{}).Parameters(path); values != nil {
		t.Errorf("of no operation: %v", values)
	}
}

func TestScopes(t *testing.T) {
	create, _ := Find("kubernetes", "POST", "/v0/clusters")
	for _, c := range []struct {
		given   []string
		missing string
	}{
		{nil, "mke.write"},
		{[]string{"mke.write"}, "pa:sa:manage"},
		{[]string{"pa:sa:manage", "mke.write"}, ""},
		{[]string{All}, ""},
	} {
		if got := create.MissingScope(c.given); got != c.missing {
			t.Errorf("%v: %q is missing, want %q", c.given, got, c.missing)
		}
	}
}
