package mkeapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/problem"
)

const proxyPath = "/api/v1/namespaces/kube-system/services/http:prometheus:9090/proxy/api/v1/query_range"

// fakeCluster is a customer's API server with a Prometheus behind it, of which the test says what it answers.
type fakeCluster struct {
	*httptest.Server
	mu       sync.Mutex // a client that went away leaves its request behind
	answer   http.HandlerFunc
	requests []*http.Request
}

func (f *fakeCluster) answers(with http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = with
}

// asked returns the requests until now.
func (f *fakeCluster) asked() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

func (f *fakeCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	answer := f.answer
	f.mu.Unlock()
	if r.URL.Path != proxyPath {
		http.NotFound(w, r)
		return
	}
	answer(w, r)
}

// monitored makes a cluster with the addon enabled, reached through a kubeconfig Secret as in real life.
func monitored(t *testing.T, h *harness) (path string, f *fakeCluster) {
	t.Helper()
	id := h.createCluster(`{"name":"c"}`)
	h.do(http.MethodPatch, "/v1alpha0/clusters/"+id+"/addons/monitoring", `{"enabled":true}`).want(http.StatusOK)
	f = &fakeCluster{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	kubeconfig := fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], "+
		"clusters: [{name: c, cluster: {server: %q}}], users: [{name: u, user: {}}]}", f.URL)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: mkev1.ClusterNamespace(id), Name: "c-kubeconfig"}, Data: map[string][]byte{"value": []byte(kubeconfig)}}
	reader := fake.NewClientBuilder().WithScheme(Scheme()).WithObjects(secret).Build()
	h.clusters.queryRange = NewClusters(reader, client.Reader(nil)).QueryRange
	return "/v1alpha0/clusters/" + id + "/metrics", f
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func matrix(results ...string) string {
	return `{"status":"success","data":{"resultType":"matrix","result":[` + strings.Join(results, ",") + `]}}`
}

func TestSeries(t *testing.T) {
	h := newHarness(t)
	path, f := monitored(t, h)
	list := h.do(http.MethodGet, path, nil).want(http.StatusOK).results()
	if len(list) != len(catalog.AllSeries()) || list[0]["name"] != "node_up" || list[0]["unit"] != "count" || fmt.Sprint(list[0]["labels"]) != "[node pool]" {
		t.Errorf("list = %v", list)
	}
	f.answers(says(http.StatusOK, matrix(
		`{"metric":{"__name__":"node:cpu_usage:ratio","node":"n1","pool":"nodepool01","secret":"x"},"values":[[1795348800,"0.25"],[1795348815.5,"NaN"],[1795348830,"1e-3"]]}`,
		`{"metric":{"node":"cp"},"values":[[1795348800,"+Inf"]]}`)))
	got := h.do(http.MethodGet, path+"/node_cpu_usage_ratio?start=1795345200&end=2026-11-22T12:00:00Z&step=1m&node=n1&pool=nodepool01", nil).want(http.StatusOK)
	want := `{"name":"node_cpu_usage_ratio","unit":"ratio","series":[{"labels":{"node":"n1","pool":"nodepool01"},"points":[[1795348800,0.25],[1795348830,0.001]]}]}`
	if strings.TrimSpace(string(got.body)) != want {
		t.Errorf("got  %s\nwant %s", got.body, want)
	}
	query := f.asked()[0].URL.Query()
	for name, want := range map[string]string{"query": `node:cpu_usage:ratio{node="n1",pool="nodepool01"}`, "start": "1795345200", "end": "1795348800", "step": "60", "limit": "1001"} {
		if query.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, query.Get(name), want)
		}
	}
	f.answers(says(http.StatusOK, matrix()))
	empty := h.do(http.MethodGet, path+"/etcd_database_bytes", nil).want(http.StatusOK)
	if !strings.Contains(string(empty.body), `"series":[]`) {
		t.Errorf("no data: %s", empty.body)
	}
	if query := f.asked()[1].URL.Query(); query.Get("query") != "cluster:etcd_db_size_bytes:max{}" || query.Get("step") != "15" {
		t.Errorf("default query %v", query)
	}
}

func TestSeriesThatCannotBeAsked(t *testing.T) {
	h := newHarness(t)
	path, f := monitored(t, h)
	for name, tt := range map[string]struct {
		query, slug string
		fields      map[string]string
		status      int
	}{
		"unknown series":      {"/node_magic", "series_not_found", nil, 404},
		"PromQL as name":      {"/up%7B%7D", "series_not_found", nil, 404},
		"end without meaning": {"/node_up?end=yesterday", "invalid_time", map[string]string{"end": "invalid_time"}, 400},
		"negative start":      {"/node_up?start=-5", "invalid_time", map[string]string{"start": "invalid_time"}, 400},
		"start not a number":  {"/node_up?start=NaN", "invalid_time", map[string]string{"start": "invalid_time"}, 400},
		"start after end":     {"/node_up?start=200&end=100", "invalid_time_range", map[string]string{"start": "invalid_time_range"}, 400},
		"too long":            {"/node_up?start=1700000000&end=1795348800", "invalid_time_range", map[string]string{"start": "invalid_time_range"}, 400},
		"too many points":     {"/node_up?start=1795000000&end=1795348800&step=1s", "invalid_step", map[string]string{"step": "invalid_step"}, 400},
		"step of nothing":     {"/node_up?step=0", "invalid_step", map[string]string{"step": "invalid_step"}, 400},
		"broken seconds":      {"/node_up?step=1500ms", "invalid_step", map[string]string{"step": "invalid_step"}, 400},
		"endless step":        {"/node_up?step=99999999999999999999", "invalid_step", map[string]string{"step": "invalid_step"}, 400},
		"pod of a node":       {"/node_up?pod=a", "invalid_filter", map[string]string{"pod": "invalid_filter"}, 400},
		"node of the cluster": {"/cluster_nodes?node=a", "invalid_filter", map[string]string{"node": "invalid_filter"}, 400},
		"PromQL as node":      {"/node_up?node=a%22%7D+or+up%7Bx%3D%22", "invalid_object_name", map[string]string{"node": "invalid_object_name"}, 400},
		"endless node":        {"/node_up?node=" + strings.Repeat("a", 254), "invalid_object_name", map[string]string{"node": "invalid_object_name"}, 400},
		"all at once": {"/node_up?start=x&step=1s&pod=a&node=A", "invalid_request",
			map[string]string{"start": "invalid_time", "pod": "invalid_filter", "node": "invalid_object_name"}, 400},
	} {
		t.Run(name, func(t *testing.T) {
			h.do(http.MethodGet, path+tt.query, nil).wantProblem(tt.status, tt.slug, tt.fields)
		})
	}
	if len(f.asked()) > 0 {
		t.Errorf("the cluster was asked: %v", f.asked()[0].URL)
	}
}

func TestSeriesOfOthersAndOfNobody(t *testing.T) {
	h := newHarness(t)
	path, f := monitored(t, h)
	h.as(stranger, http.MethodGet, path, nil).wantProblem(404, "cluster_not_found", nil)
	h.as(stranger, http.MethodGet, path+"/node_up", nil).wantProblem(404, "cluster_not_found", nil)
	if len(f.asked()) > 0 {
		t.Error("a stranger's request reached the cluster")
	}
	other := "/v1alpha0/clusters/" + h.createCluster(`{"name":"other"}`)
	off := h.do(http.MethodGet, other+"/metrics/node_up", nil)
	off.wantProblem(409, "monitoring_disabled", nil)
	if !strings.Contains(string(off.body), "addon update") {
		t.Errorf("it does not say how to enable it: %s", off.body)
	}
	h.do(http.MethodPatch, other+"/addons/monitoring", `{"enabled":true}`).want(200)
	res := h.do(http.MethodGet, other+"/metrics/node_up", nil) // it has no kubeconfig
	res.wantProblem(503, "monitoring_unavailable", nil)
	if res.Header.Get("Retry-After") == "" {
		t.Error("503 without Retry-After")
	}
	h.do(http.MethodDelete, strings.Replace(other, "v1alpha0", "v0", 1), nil).want(204)
	h.do(http.MethodGet, other+"/metrics", nil).wantProblem(409, "cluster_deleting", nil)
}

func TestPrometheusThatFails(t *testing.T) {
	h := newHarness(t)
	path, f := monitored(t, h)
	endless := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"]`)
		chunk := strings.Repeat(`,[1795348800.123,"0.1234567890123456"]`, 10_000)
		for range maxQueryAnswer/len(chunk) + 1 {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, `]}]}}`)
	}
	many := make([]string, maxSeries+1)
	for i := range many {
		many[i] = fmt.Sprintf(`{"metric":{"node":"n%d"},"values":[[1,"1"]]}`, i)
	}
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		status int
		slug   string
	}{
		"no pods": {says(503, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no endpoints available for service \"http:prometheus:9090\"","reason":"ServiceUnavailable","code":503}`),
			503, "monitoring_unavailable"},
		"no service":          {says(404, `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"services \"prometheus\" not found","reason":"NotFound","code":404}`), 503, "monitoring_unavailable"},
		"no access":           {says(401, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Unauthorized","code":401}`), 503, "monitoring_unavailable"},
		"no JSON":             {says(200, `<html>`), 503, "monitoring_unavailable"},
		"nothing":             {says(200, ``), 503, "monitoring_unavailable"},
		"half":                {says(200, `{"status":"success","data":{"resultType":"matrix","result":[{"metric"`), 503, "monitoring_unavailable"},
		"another type":        {says(200, `{"status":"success","data":{"resultType":"vector","result":[]}}`), 503, "monitoring_unavailable"},
		"an error":            {says(200, `{"status":"error","errorType":"internal","error":"secret"}`), 503, "monitoring_unavailable"},
		"too many samples":    {says(422, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`), 400, "too_much_data"},
		"too many series":     {says(200, matrix(many...)), 400, "too_much_data"},
		"an endless answer":   {endless, 400, "too_much_data"},
		"a broken connection": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 503, "monitoring_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			f.answers(tt.answer)
			res := h.do(http.MethodGet, path+"/node_up", nil)
			res.t = t
			res.wantProblem(tt.status, tt.slug, nil)
			if body := string(res.body); strings.Contains(body, "secret") || strings.Contains(body, "prometheus") {
				t.Errorf("internals leak: %s", body)
			}
		})
	}
}

func TestPrometheusThatIsSlow(t *testing.T) {
	h := newHarness(t)
	path, f := monitored(t, h)
	f.answers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	id := uuid.MustParse(strings.Split(path, "/")[3])
	if _, err := h.clusters.queryRange(ctx, id.String(), "c", rangeQuery{expression: "x", step: time.Second}); err == nil || ctx.Err() == nil {
		t.Errorf("got %v; a caller's deadline must end the request", err)
	}
}

// A message in Portuguese for each of the series' problems.
func TestSeriesProblemsInPortuguese(t *testing.T) {
	e := problem.New(problem.MonitoringDisabled).In(problem.Portuguese)
	if !strings.Contains(e.Message, "desativado") || e.Hint == "" {
		t.Errorf("%+v", e)
	}
}
