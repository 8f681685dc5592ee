package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	testKey    = "0b6c2d3e-6a55-4b0e-8f9f-3f0d6d2e7c11"
	clusterOne = "11111111-1111-4111-8111-111111111111"
	poolOne    = "22222222-2222-4222-8222-222222222222"
	opOne      = "33333333-3333-4333-8333-333333333333"
)

var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fakeAPI speaks as much of the contract as the CLI needs, and records what it was asked.
type fakeAPI struct {
	*httptest.Server
	mu       sync.Mutex
	requests []recorded
	answers  map[string][]reply // by "METHOD path"; the last one is repeated
}

type recorded struct {
	line   string
	body   string
	header http.Header
}

type reply struct {
	status int
	header map[string]string
	body   string
}

func ok(body string) reply { return reply{status: 200, body: body} }

func newFakeAPI(t *testing.T, answers map[string][]reply) *fakeAPI {
	t.Helper()
	f := &fakeAPI{answers: answers}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	line := r.Method + " " + r.URL.RequestURI()
	f.mu.Lock()
	f.requests = append(f.requests, recorded{line, string(body), r.Header.Clone()})
	rest := f.answers[line]
	var a reply
	switch {
	case r.Header.Get("X-Api-Key") != testKey:
		a = reply{status: 401, body: `{"message":"Unauthorized","slug":"Unauthorized"}`}
	case len(rest) == 0:
		a = reply{status: 404, body: `{"message":"cluster not found","slug":"not_found"}`}
	default:
		a = rest[0]
		if len(rest) > 1 {
			f.answers[line] = rest[1:]
		}
	}
	f.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Request-Id", "req-1")
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

func (f *fakeAPI) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for _, r := range f.requests {
		out = append(out, r.line)
	}
	return out
}

// lastBody is the body of the last request of a kind, as JSON with sorted keys.
func (f *fakeAPI) lastBody(t *testing.T, method string) string {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := len(f.requests) - 1; i >= 0; i-- {
		if strings.HasPrefix(f.requests[i].line, method+" ") {
			var v any
			if err := json.Unmarshal([]byte(f.requests[i].body), &v); err != nil {
				t.Fatalf("body %q: %v", f.requests[i].body, err)
			}
			out, _ := json.Marshal(v)
			return string(out)
		}
	}
	t.Fatalf("no %s was sent", method)
	return ""
}

type outcome struct {
	stdout, stderr string
	code           int
}

// run runs mgc against the fake as a user without a terminal would.
func (f *fakeAPI) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return f.runWith(t, context.Background(), "", nil, args...)
}

func (f *fakeAPI) runWith(t *testing.T, ctx context.Context, stdin string, change func(*app), args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	env := map[string]string{"MGC_CONFIG_DIR": t.TempDir(), "MGC_SERVERURL": f.URL + "/", "MGC_API_KEY": testKey}
	a := newApp(Streams{In: strings.NewReader(stdin), Out: &stdout, Err: &stderr}, func(k string) string { return env[k] })
	a.now = func() time.Time { return testNow }
	a.poll = time.Millisecond
	if change != nil {
		change(a)
	}
	code := a.main(ctx, args)
	if strings.Contains(stdout.String()+stderr.String(), "\x1b") {
		t.Errorf("escape sequences without a terminal:\n%q\n%q", stdout.String(), stderr.String())
	}
	return outcome{stdout.String(), stderr.String(), code}
}

func standard() map[string][]reply {
	cluster := `{"id":"` + clusterOne + `","name":"meu-cluster","version":"v1.34.2","region":"br-se1","created_at":"2026-11-22T11:30:00Z",` +
		`"status":{"state":"Running","message":"Ready"},"machine_types_source":"external","platform":{"version":"v3.0.0"},"allowed_cidrs":[],"network":{"vpc_id":"v","subnets":[]}}`
	pool := `{"id":"` + poolOne + `","name":"nodepool01","replicas":1,"instance_template":{"flavor":{"name":"BV4-8-40","id":"f","vcpu":4,"ram":8192,"size":40}},` +
		`"auto_scale":{"min_replicas":1,"max_replicas":3},"status":{"state":"Running","messages":["Ready"]}}`
	addon := `{"name":"metrics-server","description":"use of CPU and memory","enabled":true,"essential":false,"version":"v0.9.0","status":{"state":"Ready","message":"ready"},` +
		`"pods":{"ready":1,"total":1},"values":{"resolutionSeconds":15},"settings":[]}`
	metrics := "/v1alpha0/clusters/" + clusterOne + "/metrics"
	addons := "/v1alpha0/clusters/" + clusterOne + "/addons"
	c, p := "/v0/clusters/"+clusterOne, "/v0/clusters/"+clusterOne+"/node_pools/"+poolOne
	return map[string][]reply{
		"GET /v0/clusters":          {ok(`{"results":[` + cluster + `]}`)},
		"POST /v0/clusters":         {{status: 201, body: `{"id":"` + clusterOne + `","name":"meu-cluster","status":{"state":"Pending","message":"Pending"},"allowed_cidrs":[]}`}},
		"GET " + c:                  {ok(cluster)},
		"PATCH " + c:                {ok(`{"description":"d","version":"v1.34.2","allowed_cidrs":[]}`)},
		"DELETE " + c:               {{status: 204}},
		"GET " + c + "/kubeconfig":  {{status: 200, header: map[string]string{"Content-Type": "application/yaml"}, body: "apiVersion: v1\n# kept\nkind:   Config\n"}},
		"POST " + c + "/node_pools": {{status: 201, body: pool}},
		"GET " + p:                  {ok(pool)},
		"PATCH " + p:                {ok(pool)},
		"DELETE " + p:               {{status: 204}},
		"GET " + p + "/nodes":       {ok(`{"results":[{"id":"n","name":"nodepool01-abcde-fghij","flavor":"BV4-8-40","created_at":"2026-11-20T12:00:00Z","status":{"state":"Running","message":"Ready"},"addresses":[{"type":"Hostname","address":"h"},{"type":"InternalIP","address":"172.26.0.5"}],"infrastructure":{"kubeletVersion":"v1.34.2"},"taints":[]}]}`)},
		"GET /v1alpha0/clusters/" + clusterOne + "/node-pools": {ok(`{"results":[{"id":"` + poolOne + `","name":"nodepool01","flavor":"BV4-8-40","replicas":1,"auto_scale":{"min_replicas":1,"max_replicas":1},"status":{"state":"Running","messages":[]}}]}`)},
		"GET " + addons:                               {ok(`{"results":[` + addon + `]}`)},
		"GET " + addons + "/metrics-server":           {ok(addon)},
		"PATCH " + addons + "/metrics-server":         {ok(addon)},
		"GET /v1/flavors":                             {ok(`{"results":[{"nodepool":[{"name":"BV2-4-40","id":"a","vcpu":2,"ram":4096,"size":40,"sku":"s"},{"name":"BV4-8-40","id":"b","vcpu":4,"ram":8192,"size":40,"sku":"s"}],"controlplane":[{"name":"BV2-4-40","id":"a","vcpu":2,"ram":4096,"size":40,"sku":"s"}]}]}`)},
		"GET /v1/versions":                            {ok(`{"results":[{"version":"v1.34.2","deprecated":false,"minimumRequirements":{"disk":20,"ram":4,"vcpu":2}}]}`)},
		"GET /v1alpha0/quotas":                        {ok(`{"results":[{"name":"clusters","description":"clusters","limit":100,"used":1},{"name":"ram_gib","description":"memory of these nodes, in GiB","limit":32000,"used":8}]}`)},
		"GET " + c + "/operations":                    {ok(`{"results":[{"id":"` + opOne + `","kind":"CreateCluster","cluster_id":"` + clusterOne + `","state":"Running","percentage":40,"message":"the API server starts","created_at":"2026-11-22T11:59:50Z","phases":[],"errors":[]}]}`)},
		"GET /v0/operations?cluster_id=" + clusterOne: {ok(`{"results":[{"id":"` + opOne + `","kind":"CreateCluster","cluster_id":"` + clusterOne + `","state":"Running","percentage":40,"message":"the API server starts","created_at":"2026-11-22T11:59:50Z","phases":[],"errors":[]}]}`)},
		"GET " + metrics: {ok(`{"results":[{"name":"node_cpu_usage_ratio","scope":"node","unit":"ratio","description":"CPU in use, as a part of the node's","labels":["node","pool"]},` +
			`{"name":"etcd_database_bytes","scope":"cluster","unit":"bytes","description":"size of etcd's database","labels":[]}]}`)},
		"GET " + metrics + "/node_cpu_usage_ratio": {ok(`{"name":"node_cpu_usage_ratio","unit":"ratio","series":[` +
			`{"labels":{"node":"meu-cluster-cp"},"points":[[1764244800,0.1],[1764244815,0.3],[1764244830,0.2]]},` +
			`{"labels":{"node":"nodepool01-a","pool":"nodepool01"},"points":[[1764244800,0.05]]}]}`)},
		"GET " + metrics + "/etcd_database_bytes?end=1795348800&start=1795345200&step=5m": {ok(`{"name":"etcd_database_bytes","unit":"bytes","series":[{"labels":{},"points":[[1764244800,3145728],[1764245100,1024]]}]}`)},
		"GET " + metrics + "/pod_cpu_usage_cores?namespace=default&pool=nodepool01":       {ok(`{"name":"pod_cpu_usage_cores","unit":"cores","series":[]}`)},
	}
}
