package mkeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/internal/mgc/mgctest"
)

// sdk speaks as Magalu's Go SDK, and with it the Terraform provider, was seen to: chunked bodies, a content type on everything, the
// body null on DELETE, and a new request id each time.
type sdk struct {
	*harness
	base, tenant string
}

// newSDK returns a client of a new tenant; the server is shared.
func newSDK(t *testing.T, h *harness, base string) *sdk {
	own := *h
	own.t = t
	return &sdk{&own, base, uuid.NewString()}
}

func (s *sdk) call(method, path, body string) response {
	s.t.Helper()
	var payload io.Reader
	if method == http.MethodDelete {
		body = "null"
	}
	if body != "" {
		payload = io.MultiReader(strings.NewReader(body)) // of unknown length, so chunked
	}
	r, err := http.NewRequest(method, s.base+path, payload)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range map[string]string{"Content-Type": "application/json", "User-Agent": "MgcTF/0.50.0 (linux; amd64)",
		"X-Request-Id": uuid.NewString(), "X-Mke-Tenant-Id": s.tenant, "X-Tenant-Id": stranger} {
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer := response{Response: res, t: s.t}
	if answer.body, err = io.ReadAll(res.Body); err != nil {
		s.t.Fatal(err)
	}
	s.contract.check(s.t, r, answer)
	s.server.Wait()
	return answer
}

func (s *sdk) get(path string) map[string]any {
	s.t.Helper()
	return s.call(http.MethodGet, path, "").want(http.StatusOK).object()
}

func (s *sdk) create(body string) (path string) {
	s.t.Helper()
	return "/v0/clusters/" + s.call(http.MethodPost, "/v0/clusters", body).want(http.StatusCreated).object()["id"].(string)
}

func (s *sdk) pool(cluster, body string) (path string, answer map[string]any) {
	s.t.Helper()
	answer = s.call(http.MethodPost, cluster+"/node_pools", body).want(http.StatusCreated).object()
	return cluster + "/node_pools/" + answer["id"].(string), answer
}

// same wants a part of an answer, such as "network.subnets", to be equal to some JSON; "absent" wants it not to be there.
func (s *sdk) same(answer map[string]any, part, want string) {
	s.t.Helper()
	var at any = answer
	present := true
	for _, name := range strings.Split(part, ".") {
		at, present = at.(map[string]any)[name]
	}
	if want == "absent" {
		if present {
			s.t.Errorf("%s is %v, it must be absent", part, at)
		}
		return
	}
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		s.t.Fatal(err)
	}
	if diff := cmp.Diff(wanted, at); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", part, diff)
	}
}

const (
	tfCluster = `{"name":"tf","version":"v1.34.2","description":"","enabled_server_group":true,"allowed_cidrs":["10.2.0.0/16","10.1.0.0/16"]}`
	tfPool    = `{"name":"pool","flavor":"BV2-4-40","replicas":2}`
)

// What the published CLI, SDK and Terraform provider were seen or read to need; each row is one of their expectations.
func TestPublishedClients(t *testing.T) {
	h := newHarness(t)
	h.clusters.kubeconfig, h.clusters.err = []byte("apiVersion: v1\nkind: Config\n"), nil
	h.clusters.nodes, h.clusters.nodesErr = []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "n1", UID: "u", CreationTimestamp: metav1.Now()}}}, nil
	web := httptest.NewServer(h.server)
	t.Cleanup(web.Close)
	for name, check := range map[string]func(*testing.T, *sdk){
		"POST of a cluster answers its id": func(t *testing.T, s *sdk) {
			if _, err := uuid.Parse(strings.TrimPrefix(s.create(tfCluster), "/v0/clusters/")); err != nil {
				t.Error(err)
			}
		},
		"POST without node pools":  func(_ *testing.T, s *sdk) { s.same(s.get(s.create(tfCluster)), "node_pools", `[]`) },
		"version is as sent":       func(_ *testing.T, s *sdk) { s.same(s.get(s.create(tfCluster)), "version", `"v1.34.2"`) },
		"no version is the latest": func(_ *testing.T, s *sdk) { s.same(s.get(s.create(`{"name":"tf"}`)), "version", `"v1.34.4"`) },
		"allowed_cidrs keep order": func(_ *testing.T, s *sdk) {
			s.same(s.get(s.create(tfCluster)), "allowed_cidrs", `["10.2.0.0/16","10.1.0.0/16"]`)
		},
		"allowed_cidrs unset": func(_ *testing.T, s *sdk) { s.same(s.get(s.create(`{"name":"tf"}`)), "allowed_cidrs", `[]`) },
		"allowed_cidrs null": func(_ *testing.T, s *sdk) {
			s.same(s.get(s.create(`{"name":"tf","allowed_cidrs":null}`)), "allowed_cidrs", `[]`)
		},
		"an empty description": func(_ *testing.T, s *sdk) { s.same(s.get(s.create(tfCluster)), "description", `""`) },
		"CIDRs of pods have a default": func(_ *testing.T, s *sdk) {
			s.same(s.get(s.create(tfCluster)), "cluster_ipv4_cidr", `"192.168.0.0/16"`)
		},
		"CIDRs are as sent": func(_ *testing.T, s *sdk) {
			c := s.get(s.create(`{"name":"tf","cluster_ipv4_cidr":"10.200.0.0/16","services_ipv4_cidr":"10.97.0.0/16"}`))
			s.same(c, "cluster_ipv4_cidr", `"10.200.0.0/16"`)
			s.same(c, "services_ipv4_cidr", `"10.97.0.0/16"`)
		},
		"subnets are those that were sent": func(t *testing.T, s *sdk) {
			_, subnets := s.cloud.DefaultVPC()
			s.tenant = mgctest.Tenant
			c := s.get(s.create(`{"name":"tf","network":{"subnet_ids":["` + subnets[2].ID + `","` + subnets[0].ID + `"]}}`))
			var got []string
			for _, sn := range c["network"].(map[string]any)["subnets"].([]any) {
				got = append(got, sn.(map[string]any)["id"].(string))
			}
			want := []string{subnets[0].ID, subnets[2].ID}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%v, want %v", got, want)
			}
		},
		"a cluster can be read at once, with status, machine types and platform": func(_ *testing.T, s *sdk) {
			c := s.get(s.create(tfCluster))
			s.same(c, "machine_types_source", `"external"`)
			s.same(c, "region", `"br-se1"`)
			for _, part := range []string{"status.state", "platform.version", "created_at"} {
				s.same(c, part, quote(c, part))
			}
		},
		"list items have a status": func(_ *testing.T, s *sdk) {
			s.create(tfCluster)
			item := s.call(http.MethodGet, "/v0/clusters", "").results()[0]
			s.same(item, "status.state", quote(item, "status.state"))
			s.same(item, "machine_types_source", `"external"`)
		},
		"updated_at never changes": func(_ *testing.T, s *sdk) {
			path := s.create(tfCluster)
			before := quote(s.get(path), "updated_at")
			s.call(http.MethodPatch, path, `{"description":"changed"}`).want(http.StatusOK)
			s.same(s.get(path), "updated_at", before)
		},
		"PATCH with the same allowed_cidrs changes nothing": func(_ *testing.T, s *sdk) {
			path := s.create(tfCluster)
			s.settle(strings.TrimPrefix(path, "/v0/clusters/"), "Running")
			s.call(http.MethodPatch, path, `{"allowed_cidrs":["10.2.0.0/16","10.1.0.0/16"]}`).want(http.StatusOK)
			s.same(s.get(path), "status.state", `"Running"`)
		},
		"PATCH with empty allowed_cidrs clears them": func(_ *testing.T, s *sdk) {
			path := s.create(tfCluster)
			s.call(http.MethodPatch, path, `{"allowed_cidrs":[]}`).want(http.StatusOK)
			s.same(s.get(path), "allowed_cidrs", `[]`)
		},
		"a cluster ends up exactly Running": func(_ *testing.T, s *sdk) {
			path := s.create(tfCluster)
			s.settle(strings.TrimPrefix(path, "/v0/clusters/"), "Running")
			s.same(s.get(path), "status.state", `"Running"`)
		},
		"a cluster that is deleted is readable, then 404": func(_ *testing.T, s *sdk) {
			path := s.create(tfCluster)
			s.call(http.MethodDelete, path, "").want(http.StatusNoContent)
			s.same(s.get(path), "status.state", `"Deleting"`)
			s.call(http.MethodDelete, path, "").want(http.StatusConflict)
			if err := s.store.ClusterGone(s.t.Context(), uuid.MustParse(strings.TrimPrefix(path, "/v0/clusters/"))); err != nil {
				s.t.Fatal(err)
			}
			s.call(http.MethodGet, path, "").want(http.StatusNotFound)
		},
		"a pool's answer is what was asked for": func(_ *testing.T, s *sdk) {
			_, p := s.pool(s.create(tfCluster), `{"name":"pool","flavor":"BV2-4-40","replicas":2,"max_pods_per_node":64,"labels":{"b":"2","a":"1"},
				"availability_zones":["b"],"auto_scale":{"min_replicas":1,"max_replicas":4},
				"taints":[{"key":"z","value":"1","effect":"NoSchedule"},{"key":"a","value":"","effect":"NoExecute"}]}`)
			for part, want := range map[string]string{"instance_template.flavor.name": `"BV2-4-40"`, "replicas": `2`, "max_pods_per_node": `64`,
				"labels": `{"a":"1","b":"2"}`, "availability_zones": `["b"]`, "auto_scale": `{"min_replicas":1,"max_replicas":4}`,
				"taints": `[{"key":"z","value":"1","effect":"NoSchedule"},{"key":"a","value":"","effect":"NoExecute"}]`} {
				s.same(p, part, want)
			}
		},
		"a pool read again is the same": func(t *testing.T, s *sdk) {
			path, p := s.pool(s.create(tfCluster), tfPool)
			again := s.get(path)
			delete(again, "estimated_cost")
			if diff := cmp.Diff(p, again); diff != "" {
				t.Error(diff)
			}
		},
		"taints of a pool are absent when there are none": func(_ *testing.T, s *sdk) { _, p := s.pool(s.create(tfCluster), tfPool); s.same(p, "taints", "absent") },
		"taints of a pool are absent when an empty list is sent": func(_ *testing.T, s *sdk) {
			_, p := s.pool(s.create(tfCluster), `{"name":"pool","flavor":"BV2-4-40","replicas":1,"taints":[]}`)
			s.same(p, "taints", "absent")
		},
		"labels of a pool are an object when there are none": func(_ *testing.T, s *sdk) { _, p := s.pool(s.create(tfCluster), tfPool); s.same(p, "labels", `{}`) },
		"a pool without auto_scale shows its size": func(_ *testing.T, s *sdk) {
			_, p := s.pool(s.create(tfCluster), tfPool)
			s.same(p, "auto_scale", `{"min_replicas":2,"max_replicas":2}`)
		},
		"auto_scale with nulls, as the SDK has no omitempty": func(_ *testing.T, s *sdk) {
			_, p := s.pool(s.create(tfCluster), `{"name":"pool","flavor":"BV2-4-40","replicas":2,"auto_scale":{"min_replicas":null,"max_replicas":5}}`)
			s.same(p, "auto_scale", `{"min_replicas":2,"max_replicas":5}`)
		},
		"a pool may have no replicas": func(_ *testing.T, s *sdk) {
			_, p := s.pool(s.create(tfCluster), `{"name":"pool","flavor":"BV2-4-40","replicas":0}`)
			s.same(p, "replicas", `0`)
		},
		"a pool is accepted while its cluster is provisioned": func(_ *testing.T, s *sdk) {
			path := s.create(tfCluster)
			s.settle(strings.TrimPrefix(path, "/v0/clusters/"), "Provisioning")
			s.pool(path, tfPool)
		},
		"PATCH of a pool with its own flavor is no change": func(t *testing.T, s *sdk) {
			cluster := s.create(tfCluster)
			path, _ := s.pool(cluster, tfPool)
			s.settle(strings.TrimPrefix(cluster, "/v0/clusters/"), "Running")
			before := len(s.call(http.MethodGet, cluster+"/operations", "").results())
			p := s.call(http.MethodPatch, path, `{"flavor":"BV2-4-40"}`).want(http.StatusOK).object()
			s.same(p, "status.state", `"Running"`)
			if after := len(s.call(http.MethodGet, cluster+"/operations", "").results()); after != before {
				t.Errorf("it began an operation: %d, %d before", after, before)
			}
		},
		"PATCH of a pool with its own flavor and new bounds": func(_ *testing.T, s *sdk) {
			path, _ := s.pool(s.create(tfCluster), tfPool)
			p := s.call(http.MethodPatch, path, `{"flavor":"BV2-4-40","auto_scale":{"min_replicas":1,"max_replicas":3}}`).want(http.StatusOK).object()
			s.same(p, "auto_scale", `{"min_replicas":1,"max_replicas":3}`)
			s.same(p, "replicas", `2`)
		},
		"a pool ends up exactly Running": func(_ *testing.T, s *sdk) {
			cluster := s.create(tfCluster)
			path, _ := s.pool(cluster, tfPool)
			s.settle(strings.TrimPrefix(cluster, "/v0/clusters/"), "Running")
			s.same(s.get(path), "status.state", `"Running"`)
		},
		"a pool is deleted until 404": func(t *testing.T, s *sdk) {
			cluster := s.create(tfCluster)
			path, p := s.pool(cluster, tfPool)
			s.call(http.MethodDelete, path, "").want(http.StatusNoContent)
			s.call(http.MethodGet, path, "").want(http.StatusOK)
			if err := s.store.NodePoolGone(t.Context(), uuid.MustParse(strings.TrimPrefix(cluster, "/v0/clusters/")), uuid.MustParse(p["id"].(string))); err != nil {
				t.Fatal(err)
			}
			s.call(http.MethodGet, path, "").want(http.StatusNotFound)
		},
		"taints of a node are a list when there are none": func(_ *testing.T, s *sdk) {
			path, _ := s.pool(s.create(tfCluster), tfPool)
			s.same(s.call(http.MethodGet, path+"/nodes", "").results()[0], "taints", `[]`)
		},
		"kubeconfig is application/yaml, byte for byte": func(t *testing.T, s *sdk) {
			res := s.call(http.MethodGet, s.create(tfCluster)+"/kubeconfig", "").want(http.StatusOK)
			if kind := res.Header.Get("Content-Type"); !strings.Contains(kind, "application/yaml") || !bytes.Equal(res.body, s.clusters.kubeconfig) {
				t.Errorf("%s %s", kind, res.body)
			}
		},
		"parameters of lists that nobody knows": func(t *testing.T, s *sdk) {
			s.create(tfCluster)
			if n := len(s.call(http.MethodGet, "/v0/clusters?_limit=10&_offset=0&_sort=name:asc&expand=node_pools,addons&x=y", "").want(http.StatusOK).results()); n != 1 {
				t.Errorf("%d clusters", n)
			}
		},
		"a page beyond the last one is an empty list": func(_ *testing.T, s *sdk) { s.same(s.get("/v0/clusters?_limit=100&_offset=100"), "results", `[]`) },
		"flavors are offered, versions follow each other": func(t *testing.T, s *sdk) {
			if flavors := s.call(http.MethodGet, "/v1/flavors", "").results(); len(flavors) == 0 || len(flavors[0]["nodepool"].([]any)) == 0 {
				t.Error("no flavors: clients fail")
			}
			deprecated := 0
			for _, v := range s.call(http.MethodGet, "/v1/versions", "").results() {
				if v["deprecated"].(bool) {
					deprecated++
				}
			}
			if deprecated != 1 {
				t.Errorf("%d deprecated versions", deprecated)
			}
		},
		"times are RFC 3339 with a zone, nothing is null": func(t *testing.T, s *sdk) {
			cluster := s.create(tfCluster)
			path, _ := s.pool(cluster, tfPool)
			for _, path := range []string{"/v0/clusters", cluster, path, path + "/nodes", "/v1alpha0" + strings.TrimPrefix(cluster, "/v0") + "/node-pools", "/v1/flavors", "/v1/versions"} {
				walk(t, path, s.get(path))
			}
		},
		"errors are JSON with message and slug, in any language": func(t *testing.T, s *sdk) {
			for _, path := range []string{"/v0/clusters/" + uuid.NewString(), "/v0/nowhere"} {
				res := s.call(http.MethodGet, path, "").want(http.StatusNotFound)
				if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") || res.object()["message"] == "" || res.object()["slug"] == "" {
					t.Errorf("%v %s", res.Header, res.body)
				}
			}
		},
		"a POST is repeated with a new request id after a lost answer": func(t *testing.T, s *sdk) {
			for _, path := range []string{"/v0/clusters", s.create(`{"name":"of-pools"}`) + "/node_pools"} {
				body := map[bool]string{true: tfPool, false: tfCluster}[strings.HasSuffix(path, "node_pools")]
				lost := s.lose(path, body)
				again := s.call(http.MethodPost, path, body).want(http.StatusCreated).object()["id"]
				if again != lost {
					t.Errorf("%s: %v was made, the repeated request made %v", path, lost, again)
				}
				s.call(http.MethodPost, path, body).want(http.StatusConflict) // now it is answered
			}
		},
	} {
		t.Run(name, func(t *testing.T) { check(t, newSDK(t, h, web.URL)) })
	}
}

// quote is the JSON of a string that must not be empty.
func quote(answer map[string]any, part string) string {
	var at any = answer
	for _, name := range strings.Split(part, ".") {
		m, _ := at.(map[string]any)
		at = m[name]
	}
	if text, ok := at.(string); ok && text != "" {
		return `"` + text + `"`
	}
	return `"something"`
}

// walk looks at every member of an answer.
func walk(t *testing.T, path string, value any) {
	switch v := value.(type) {
	case nil:
		t.Errorf("%s is null", path)
	case []any:
		for _, item := range v {
			walk(t, path+"[]", item)
		}
	case map[string]any:
		for name, member := range v {
			walk(t, path+"."+name, member)
		}
	case string:
		if strings.HasSuffix(path, "_at") {
			if _, err := time.Parse(time.RFC3339, v); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

// lose sends a request whose client is gone when the answer comes, and returns the id that it did not see.
func (s *sdk) lose(path, body string) any {
	s.t.Helper()
	ctx, leave := context.WithCancel(s.t.Context())
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("X-Mke-Tenant-Id", s.tenant)
	rec := httptest.NewRecorder()
	s.server.ServeHTTP(leaving{rec, leave}, r)
	s.server.Wait()
	return response{rec.Result(), s.t, rec.Body.Bytes()}.want(http.StatusCreated).object()["id"]
}

type leaving struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l leaving) Write(p []byte) (int, error) {
	l.leave()
	return l.ResponseRecorder.Write(p)
}
