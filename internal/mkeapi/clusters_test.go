package mkeapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc/mgctest"
)

const talkCluster = `{"name":"meu-cluster","node_pools":[{"flavor":"BV4-8-40","name":"nodepool01","replicas":1}]}`

func TestClusterLifeOfARequest(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	c := h.do(http.MethodGet, "/v0/clusters/"+id, nil).want(http.StatusOK).object()
	for field, want := range map[string]any{"name": "meu-cluster", "version": "v1.34.4", "region": "br-se1", "cluster_ipv4_cidr": "192.168.0.0/16",
		"services_ipv4_cidr": "10.96.0.0/12", "machine_types_source": "external", "created_at": c["updated_at"]} {
		if c[field] != want {
			t.Errorf("%s = %v, want %v", field, c[field], want)
		}
	}
	if subnets := c["network"].(map[string]any)["subnets"].([]any); len(subnets) != 3 || subnets[0].(map[string]any)["availability_zone"] != "br-se1-a" {
		t.Errorf("network = %v", c["network"])
	}
	pool := c["node_pools"].([]any)[0].(map[string]any)
	if _, has := pool["taints"]; has {
		t.Error("a pool without taints must not have the key: Terraform takes [] for a difference")
	}
	if list := h.do(http.MethodGet, "/v0/clusters?_sort=x&expand=node_pools", nil).want(http.StatusOK).results(); len(list) != 1 {
		t.Errorf("list = %v", list)
	}
	patched := h.do(http.MethodPatch, "/v0/clusters/"+id, `{"description":"d","allowed_cidrs":["10.0.0.0/8"]}`).want(http.StatusOK).object()
	if fmt.Sprint(patched) != "map[allowed_cidrs:[10.0.0.0/8] deletion_protection:false description:d version:v1.34.4]" {
		t.Errorf("patch = %v", patched)
	}
	after := h.do(http.MethodGet, "/v0/clusters/"+id, nil).want(http.StatusOK).object()
	if after["updated_at"] != c["updated_at"] {
		t.Error("updated_at must not change: Terraform would take it for an inconsistent result")
	}
	h.do(http.MethodPatch, "/v0/clusters/"+id, `{"allowed_cidrs":[]}`).want(http.StatusOK)
	h.do(http.MethodDelete, "/v0/clusters/"+id, "null").want(http.StatusNoContent)
	h.do(http.MethodDelete, "/v0/clusters/"+id, "null").wantProblem(http.StatusConflict, "cluster_deleting", nil)
	h.do(http.MethodPatch, "/v0/clusters/"+id, `{"description":"e"}`).wantProblem(http.StatusConflict, "cluster_deleting", nil)
	if state := h.do(http.MethodGet, "/v0/clusters/"+id, nil).object()["status"].(map[string]any)["state"]; state != "Deleting" {
		t.Errorf("state = %v", state)
	}
	if err := h.store.ClusterGone(t.Context(), uuid.MustParse(id)); err != nil {
		t.Fatal(err)
	}
	h.do(http.MethodGet, "/v0/clusters/"+id, nil).wantProblem(http.StatusNotFound, "cluster_not_found", nil)
	h.do(http.MethodDelete, "/v0/clusters/"+id, nil).wantProblem(http.StatusNotFound, "cluster_not_found", nil)
	h.createCluster(talkCluster) // the name is free again
}

func TestBadClusters(t *testing.T) {
	h := newHarness(t)
	_, subnets := h.cloud.DefaultVPC()
	long := strings.Repeat("a", 64)
	pool := func(extra string) string {
		return `{"name":"c","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":1` + extra + `}]}`
	}
	for name, tc := range map[string]struct {
		body, slug string
		fields     map[string]string
	}{
		"empty":               {``, "body_missing", nil},
		"null":                {`null`, "body_missing", nil},
		"array":               {`[]`, "body_missing", nil},
		"malformed":           {`{"name":`, "malformed_json", nil},
		"no name":             {`{}`, "required_field", map[string]string{"name": "required_field"}},
		"null name":           {`{"name":null}`, "wrong_type", map[string]string{"name": "wrong_type"}},
		"BAD_NAME":            {`{"name":"BAD_NAME"}`, "invalid_name", map[string]string{"name": "invalid_name"}},
		"long name":           {`{"name":"` + long + `"}`, "invalid_name", nil},
		"digit first":         {`{"name":"1a"}`, "invalid_name", nil},
		"dash last":           {`{"name":"a-"}`, "invalid_name", nil},
		"unknown field":       {`{"name":"c","colour":"red"}`, "unknown_field", map[string]string{"colour": "unknown_field"}},
		"unknown version":     {`{"name":"c","version":"v1.2.3"}`, "unknown_version", nil},
		"unknown flavor":      {`{"name":"c","node_pools":[{"name":"p","flavor":"huge","replicas":1}]}`, "unknown_flavor", map[string]string{"node_pools[0].flavor": "unknown_flavor"}},
		"negative replicas":   {`{"name":"c","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":-1}]}`, "invalid_replicas", map[string]string{"node_pools[0].replicas": "invalid_replicas"}},
		"null replicas":       {`{"name":"c","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":null}]}`, "wrong_type", map[string]string{"node_pools[0].replicas": "wrong_type"}},
		"no replicas":         {`{"name":"c","node_pools":[{"name":"p","flavor":"BV4-8-40"}]}`, "required_field", map[string]string{"node_pools[0].replicas": "required_field"}},
		"half a node":         {`{"name":"c","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":1.5}]}`, "wrong_type", nil},
		"replicas as text":    {`{"name":"c","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":"1"}]}`, "wrong_type", nil},
		"pools as object":     {`{"name":"c","node_pools":{}}`, "wrong_type", map[string]string{"node_pools": "wrong_type"}},
		"duplicate pools":     {`{"name":"c","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":1},{"name":"p","flavor":"BV4-8-40","replicas":1}]}`, "duplicate_node_pool_name", map[string]string{"node_pools[1].name": "duplicate_node_pool_name"}},
		"min above max":       {pool(`,"auto_scale":{"min_replicas":3,"max_replicas":2}`), "min_replicas_above_max_replicas", nil},
		"replicas below min":  {pool(`,"auto_scale":{"min_replicas":2,"max_replicas":3}`), "replicas_outside_auto_scale", nil},
		"negative min":        {pool(`,"auto_scale":{"min_replicas":-1,"max_replicas":3}`), "invalid_replicas", nil},
		"few pods":            {pool(`,"max_pods_per_node":7`), "invalid_max_pods_per_node", nil},
		"many pods":           {pool(`,"max_pods_per_node":111`), "invalid_max_pods_per_node", nil},
		"bad label":           {pool(`,"labels":{"-x":"y"}`), "invalid_label", nil},
		"bad label value":     {pool(`,"labels":{"x":"y y"}`), "invalid_label", nil},
		"reserved label":      {pool(`,"labels":{"node-role.kubernetes.io/x":"y"}`), "reserved_label", nil},
		"taint effect":        {pool(`,"taints":[{"key":"k","value":"","effect":"Sometimes"}]`), "invalid_taint_effect", map[string]string{"node_pools[0].taints[0].effect": "invalid_taint_effect"}},
		"taint without key":   {pool(`,"taints":[{"value":"v","effect":"NoExecute"}]`), "required_field", nil},
		"same taint twice":    {pool(`,"taints":[{"key":"k","value":"a","effect":"NoExecute"},{"key":"k","value":"b","effect":"NoExecute"}]`), "duplicate_taint", nil},
		"unknown zone":        {pool(`,"availability_zones":["d"]`), "invalid_availability_zone", nil},
		"malformed pods CIDR": {`{"name":"c","cluster_ipv4_cidr":"192.168.0.0"}`, "invalid_cidr", map[string]string{"cluster_ipv4_cidr": "invalid_cidr"}},
		"IPv6 pods CIDR":      {`{"name":"c","cluster_ipv4_cidr":"fd00::/48"}`, "invalid_cidr", nil},
		"host bits":           {`{"name":"c","cluster_ipv4_cidr":"10.1.2.3/16"}`, "invalid_cidr", nil},
		"small pods CIDR":     {`{"name":"c","cluster_ipv4_cidr":"192.168.0.0/24"}`, "invalid_pods_cidr_size", nil},
		"no room for nodes":   {`{"name":"c","cluster_ipv4_cidr":"192.168.0.0/23","node_pools":[{"name":"p","flavor":"BV4-8-40","replicas":1,"auto_scale":{"min_replicas":0,"max_replicas":2}}]}`, "pods_cidr_too_small", map[string]string{"cluster_ipv4_cidr": "pods_cidr_too_small"}},
		"large services CIDR": {`{"name":"c","services_ipv4_cidr":"10.0.0.0/8"}`, "invalid_services_cidr_size", nil},
		"link-local CIDR":     {`{"name":"c","cluster_ipv4_cidr":"169.254.0.0/16"}`, "cidr_not_private", nil},
		"public CIDR":         {`{"name":"c","services_ipv4_cidr":"8.8.0.0/16"}`, "cidr_not_private", nil},
		"overlap":             {`{"name":"c","cluster_ipv4_cidr":"10.96.0.0/16"}`, "cidr_overlap", map[string]string{"services_ipv4_cidr": "cidr_overlap"}},
		"overlap with subnet": {`{"name":"c","cluster_ipv4_cidr":"172.26.0.0/16"}`, "cidr_overlap", map[string]string{"cluster_ipv4_cidr": "cidr_overlap"}},
		"bad allowed CIDR":    {`{"name":"c","allowed_cidrs":["10.0.0.0/8","me"]}`, "invalid_cidr", map[string]string{"allowed_cidrs[1]": "invalid_cidr"}},
		"bad subnet id":       {`{"name":"c","network":{"subnet_ids":["x"]}}`, "invalid_subnet_id", nil},
		"no subnet ids":       {`{"name":"c","network":{"subnet_ids":[]}}`, "subnet_ids_empty", nil},
		"unknown subnet":      {`{"name":"c","network":{"subnet_ids":["` + uuid.NewString() + `"]}}`, "subnet_not_found", nil},
		"subnets in one zone": {`{"name":"c","network":{"subnet_ids":["` + subnets[0].ID + `","` + subnets[0].ID + `"]}}`, "subnets_in_same_zone", nil},
		"all at once": {`{"name":"C","version":"v0.0.0","colour":1,"allowed_cidrs":["x"],"node_pools":[{"name":"p","flavor":"f","replicas":-1,"size":2}]}`, "invalid_request", map[string]string{
			"name": "invalid_name", "version": "unknown_version", "colour": "unknown_field", "allowed_cidrs[0]": "invalid_cidr",
			"node_pools[0].flavor": "unknown_flavor", "node_pools[0].replicas": "invalid_replicas", "node_pools[0].size": "unknown_field"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &harness{t: t, server: h.server, contract: h.contract}
			h.do(http.MethodPost, "/v0/clusters", tc.body).wantProblem(http.StatusBadRequest, tc.slug, tc.fields)
		})
	}
	if list := h.do(http.MethodGet, "/v0/clusters", nil).results(); len(list) != 0 {
		t.Errorf("bad requests created %v", list)
	}
}

func TestAcceptedFieldsOfOldClients(t *testing.T) {
	h := newHarness(t)
	_, subnets := h.cloud.DefaultVPC()
	id := h.createCluster(`{"name":"c","zone":"a","cni":"calico","enabled_bastion":false,"enabled_server_group":true,"description":null,"version":"v1.33.6",
		"network":{"subnet_ids":["` + subnets[1].ID + `"]},
		"node_pools":[{"name":"p","flavor":"BV2-4-40","replicas":0,"tags":["t"],"availability_zones":["b","b"],"taints":[],"labels":null,"auto_scale":{"min_replicas":null,"max_replicas":3}}]}`)
	c := h.do(http.MethodGet, "/v0/clusters/"+id, nil).want(http.StatusOK).object()
	pool := c["node_pools"].([]any)[0].(map[string]any)
	if got := fmt.Sprintln(pool["auto_scale"], pool["availability_zones"], pool["replicas"], c["version"]); got != "map[max_replicas:3 min_replicas:0] [b] 0 v1.33.6\n" {
		t.Errorf("pool = %v", pool)
	}
}

func TestTakenNames(t *testing.T) {
	h := newHarness(t)
	h.createCluster(talkCluster)
	h.do(http.MethodPost, "/v0/clusters", talkCluster).wantProblem(http.StatusConflict, "cluster_already_exists", nil)
	h.do(http.MethodPost, "/v0/clusters", `{"name":"meu-cluster"}`).wantProblem(http.StatusConflict, "cluster_already_exists", nil)
	h.do(http.MethodPost, "/v0/clusters", `{"name":"meu-cluster","version":"v9"}`).wantProblem(http.StatusBadRequest, "invalid_request",
		map[string]string{"name": "cluster_already_exists", "version": "unknown_version"})
	h.as(stranger, http.MethodPost, "/v0/clusters", talkCluster).want(http.StatusCreated)
}

// A client repeats a request whose answer was lost; it must get the same cluster, and only one may exist.
func TestRepeatedCreation(t *testing.T) {
	h := newHarness(t)
	var ids sync.Map
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			// The answers of concurrent requests are not noted yet, as if they were lost.
			res := h.do(http.MethodPost, "/v0/clusters", talkCluster)
			if res.StatusCode == http.StatusCreated {
				ids.Store(res.object()["id"], true)
			} else if res.StatusCode != http.StatusConflict {
				t.Errorf("status %d: %s", res.StatusCode, res.body)
			}
		})
	}
	group.Wait()
	count := 0
	ids.Range(func(any, any) bool { count++; return true })
	if list := h.do(http.MethodGet, "/v0/clusters", nil).results(); count != 1 || len(list) != 1 {
		t.Errorf("%d ids, %d clusters", count, len(list))
	}
}

func TestForeignTenantSeesNothing(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	c := h.do(http.MethodGet, "/v0/clusters/"+id, nil).object()
	pool := c["node_pools"].([]any)[0].(map[string]any)["id"].(string)
	op := h.do(http.MethodGet, "/v0/clusters/"+id+"/operations", nil).results()[0]["id"].(string)
	base := "/v0/clusters/" + id
	for _, tc := range []struct{ method, path, body string }{
		{"GET", base, ""}, {"PATCH", base, `{"description":"x"}`}, {"DELETE", base, ""}, {"GET", base + "/kubeconfig", ""},
		{"POST", base + "/node_pools", `{"name":"p","flavor":"BV4-8-40","replicas":1}`},
		{"GET", base + "/node_pools/" + pool, ""}, {"PATCH", base + "/node_pools/" + pool, `{"replicas":2}`},
		{"DELETE", base + "/node_pools/" + pool, ""}, {"GET", base + "/node_pools/" + pool + "/nodes", ""},
		{"GET", "/v1alpha0/clusters/" + id + "/node-pools", ""}, {"GET", base + "/operations", ""}, {"GET", "/v0/operations/" + op, ""},
	} {
		if res := h.as(stranger, tc.method, tc.path, tc.body); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s %s as a stranger: %d %s", tc.method, tc.path, res.StatusCode, res.body)
		}
		for _, wrong := range []string{uuid.NewString(), "not-a-uuid"} {
			path := strings.Replace(strings.Replace(tc.path, id, wrong, 1), op, wrong, 1)
			if res := h.do(tc.method, path, tc.body); res.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", tc.method, path, res.StatusCode, res.body)
			}
		}
	}
	if list := h.as(stranger, http.MethodGet, "/v0/clusters", nil).results(); len(list) != 0 {
		t.Errorf("a stranger sees %v", list)
	}
	h.as("", http.MethodGet, "/v0/clusters", nil).wantProblem(http.StatusUnauthorized, "unauthorized", nil)
	// A subnet of somebody else does not exist.
	_, subnets := h.cloud.DefaultVPC()
	h.as(stranger, http.MethodPost, "/v0/clusters", `{"name":"c","network":{"subnet_ids":["`+subnets[0].ID+`"]}}`).
		wantProblem(http.StatusBadRequest, "subnet_not_found", nil)
}

func TestPages(t *testing.T) {
	h := newHarness(t)
	for i := range 5 {
		h.createCluster(map[string]any{"name": fmt.Sprintf("c%d", i)})
	}
	page := func(query string) (names string) {
		for _, c := range h.do(http.MethodGet, "/v0/clusters?"+query, nil).want(http.StatusOK).results() {
			names += c["name"].(string)
		}
		return names
	}
	if got := page("_limit=2&_offset=1"); got != "c1c2" {
		t.Errorf("got %s", got)
	}
	if got := page("_offset=4"); got != "c4" {
		t.Errorf("got %s", got)
	}
	h.do(http.MethodGet, "/v0/clusters?_limit=0", nil).wantProblem(http.StatusBadRequest, "invalid_page", nil)
	h.do(http.MethodGet, "/v0/clusters?_offset=x", nil).wantProblem(http.StatusBadRequest, "invalid_page", nil)
}

// A list that is not asked for in pages is whole, as published; one that only ever grows says where it goes on.
func TestLongLists(t *testing.T) {
	const n = 1001
	h := newHarness(t)
	cluster := h.createCluster(talkCluster)
	h.exec(`INSERT INTO clusters SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'name', 'c' || n))).* FROM clusters c, generate_series(2, $1) AS n`, n)
	h.exec(`INSERT INTO operations SELECT (jsonb_populate_record(o, jsonb_build_object('id', gen_random_uuid()))).* FROM operations o, generate_series(2, $1)`, n)
	for query, want := range map[string]int{"": n, "?_limit=5000": n, "?_limit=1000": 1000, "?_offset=1": n - 1, "?_limit=1000&_offset=1000": 1} {
		seen := map[any]bool{}
		for _, c := range h.do(http.MethodGet, "/v0/clusters"+query, nil).want(http.StatusOK).results() {
			seen[c["id"]] = true
		}
		if len(seen) != want {
			t.Errorf("/v0/clusters%s lists %d clusters, want %d", query, len(seen), want)
		}
	}
	for _, path := range []string{"/v0/operations?", "/v0/operations?kind=CreateCluster&", "/v0/clusters/" + cluster + "/operations?"} {
		seen := map[any]bool{}
		var pages []int
		for next, more := 0.0, true; more; {
			got := h.do(http.MethodGet, fmt.Sprintf("%s_offset=%.0f", path, next), nil).want(http.StatusOK)
			for _, o := range got.results() {
				seen[o["id"]] = true
			}
			pages = append(pages, len(got.results()))
			next, more = got.object()["next_offset"].(float64)
		}
		if len(seen) != n || !slices.Equal(pages, []int{1000, 1}) {
			t.Errorf("%s lists %d operations on pages of %v", path, len(seen), pages)
		}
	}
}

func TestCloudAway(t *testing.T) {
	h := newHarness(t)
	defer h.cloud.Inject(mgctest.Fault{Status: http.StatusInternalServerError})()
	h.do(http.MethodPost, "/v0/clusters", talkCluster).wantProblem(http.StatusServiceUnavailable, "cloud_unavailable", nil)
	h.do(http.MethodPost, "/v0/clusters", `{"name":"X"}`).wantProblem(http.StatusBadRequest, "invalid_name", nil)
	if list := h.do(http.MethodGet, "/v0/clusters", nil).results(); len(list) != 0 {
		t.Errorf("created %v", list)
	}
}

func TestFrame(t *testing.T) {
	h := newHarness(t)
	h.do(http.MethodGet, "/v0/nothing", nil).wantProblem(http.StatusNotFound, "not_found", nil)
	h.do(http.MethodPut, "/v0/clusters", "{}").wantProblem(http.StatusMethodNotAllowed, "method_not_allowed", nil)
	h.do(http.MethodPost, "/v0/clusters", `{"name":"`+strings.Repeat("x", 1<<20)+`"}`).wantProblem(http.StatusRequestEntityTooLarge, "body_too_large", nil)
	h.do(http.MethodGet, "/v1/flavors", nil).want(http.StatusOK)
	if versions := h.do(http.MethodGet, "/v1/versions", nil).want(http.StatusOK).results(); len(versions) != 4 {
		t.Errorf("versions = %v", versions)
	}
}

// The list remembers encoded items; it must show every change all the same.
func TestListShowsChanges(t *testing.T) {
	h := newHarness(t)
	ids := []string{h.createCluster(`{"name":"a"}`), h.createCluster(`{"name":"b"}`)}
	check := func(want string) {
		t.Helper()
		got := ""
		for _, c := range h.do(http.MethodGet, "/v0/clusters", nil).want(http.StatusOK).results() {
			got += fmt.Sprint(c["name"], ":", c["status"].(map[string]any)["state"], ":", c["description"], " ")
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check("a:Pending: b:Pending: ")
	h.settle(ids[1], "Running")
	check("a:Pending: b:Running: ")
	h.do(http.MethodPatch, "/v0/clusters/"+ids[0], `{"description":"d"}`).want(http.StatusOK)
	check("a:Pending:d b:Running: ")
	h.do(http.MethodDelete, "/v0/clusters/"+ids[0], nil).want(http.StatusNoContent)
	check("a:Deleting:d b:Running: ")
	if err := h.store.ClusterGone(t.Context(), uuid.MustParse(ids[0])); err != nil {
		t.Fatal(err)
	}
	check("b:Running: ")
	if list := h.as(stranger, http.MethodGet, "/v0/clusters", nil).results(); len(list) != 0 {
		t.Errorf("a stranger sees %v", list)
	}
}
