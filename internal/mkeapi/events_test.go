package mkeapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// told is an event as a client reads it.
type told struct {
	id, kind string
	data     map[string]any
}

// follower reads a stream of the API over a real connection.
type follower struct {
	t      *testing.T
	res    *http.Response
	lines  *bufio.Scanner
	cancel context.CancelFunc
}

func (h *harness) listen() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Listen(ctx) }()
	h.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
	})
}

func (h *harness) follow(t *testing.T, web *httptest.Server, path, lastID string) *follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Mke-Tenant-Id", mgctest.Tenant)
	r.Header.Set("Last-Event-ID", lastID)
	res, err := web.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return &follower{t, res, bufio.NewScanner(res.Body), cancel}
}

// next waits for an event; it returns none when the stream has ended.
func (f *follower) next() (e told, more bool) {
	f.t.Helper()
	for f.lines.Scan() {
		name, value, _ := strings.Cut(f.lines.Text(), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.kind = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				f.t.Fatalf("%v: %s", err, value)
			}
		case "":
			if e.kind != "" {
				return e, true
			}
		}
	}
	return e, false
}

func (f *follower) want(kind, what string) told {
	f.t.Helper()
	for {
		e, more := f.next()
		if !more {
			f.t.Fatalf("the stream ended before %s %s", kind, what)
		}
		if e.kind == kind && strings.Contains(fmt.Sprint(e.data), what) {
			return e
		}
	}
}

func TestEventsOfACluster(t *testing.T) {
	h := newHarness(t)
	h.listen()
	web := httptest.NewServer(h.server)
	defer web.Close()
	id := h.createCluster(talkCluster)
	f := h.follow(t, web, "/v0/clusters/"+id+"/events", "")
	if ct := f.res.Header.Get("Content-Type"); f.res.StatusCode != http.StatusOK || ct != "text/event-stream" {
		t.Fatalf("%d %s", f.res.StatusCode, ct)
	}
	f.want("operation", "CreateCluster")
	seen := f.want("cluster", "Pending")
	h.settle(id, "Running")
	f.want("cluster", "Running")
	f.want("node_pool", "Running")
	h.do(http.MethodPatch, "/v0/clusters/"+id, `{"allowed_cidrs":["10.0.0.0/8"]}`).want(http.StatusOK)
	f.want("operation", "UpdateCluster")
	last := f.want("cluster", "Provisioning")

	// Another client, which has lost its connection, misses nothing and sees nothing twice.
	resumed := h.follow(t, web, "/v0/clusters/"+id+"/events", seen.id)
	for {
		e, _ := resumed.next()
		if e.kind == "operation" && e.data["kind"] == "CreateCluster" {
			t.Error("the first operation is told again")
		}
		if e.id == last.id {
			break
		}
	}
	h.do(http.MethodDelete, "/v0/clusters/"+id, nil).want(http.StatusNoContent)
	f.want("operation", "DeleteCluster")
	if err := h.store.ClusterGone(t.Context(), uuid.MustParse(id)); err != nil {
		t.Fatal(err)
	}
	f.want("cluster", "Deleted")
	f.want("end", "")
	if _, more := f.next(); more {
		t.Error("the stream goes on after its end")
	}
	resumed.want("end", "")
}

func TestEventsOfAnOperation(t *testing.T) {
	const limit = time.Second // of requests; streams outlive it
	h := newHarness(t)
	h.listen()
	web := httptest.NewUnstartedServer(h.server)
	web.Config.ReadTimeout, web.Config.WriteTimeout = limit, limit
	web.Start()
	defer web.Close()
	id := h.createCluster(talkCluster)
	op := h.do(http.MethodGet, "/v0/clusters/"+id+"/operations", nil).results()[0]["id"].(string)
	f := h.follow(t, web, "/v0/operations/"+op+"/events", "")
	f.want("operation", "requested")
	late := time.NewTimer(limit + limit/5) // time itself is what is tested
	<-late.C
	change := func(edit func(op *db.Operation)) {
		if err := h.store.Observe(t.Context(), uuid.MustParse(id), func(_ *record.Cluster, open []db.Operation) { edit(&open[0]) }); err != nil {
			t.Fatal(err)
		}
	}
	change(func(op *db.Operation) { op.Message, op.Percentage = "waiting for the load balancer", 20 })
	f.want("operation", "waiting for the load balancer")
	now := record.Now()
	change(func(op *db.Operation) { op.State, op.FinishedAt = record.OperationSucceeded, &now })
	done := f.want("operation", "Succeeded")
	f.want("end", "")
	again := h.follow(t, web, "/v0/operations/"+op+"/events", done.id)
	if e, _ := again.next(); e.kind != "end" {
		t.Errorf("%v after all was seen", e)
	}
}

func TestEventStreamsAreBounded(t *testing.T) {
	h := newHarness(t)
	web := httptest.NewServer(h.server)
	defer web.Close()
	path := "/v0/clusters/" + h.createCluster(talkCluster) + "/events"
	var first *follower
	for range maxStreams {
		f := h.follow(t, web, path, "")
		f.want("cluster", "Pending")
		if first == nil {
			first = f
		}
	}
	if f := h.follow(t, web, path, ""); f.res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("status %d beyond the limit", f.res.StatusCode)
	}
	h.as(stranger, http.MethodGet, path, nil).wantProblem(http.StatusNotFound, "cluster_not_found", nil)

	// The server's end is theirs: nobody has to wait for them.
	h.server.EndStreams()
	for {
		if _, more := first.next(); !more {
			break
		}
	}
}

func TestStalledOperations(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	if _, err := h.pool.Exec(t.Context(), "UPDATE operations SET moved_at = now() - interval '6 minutes', message = 'waiting for Godot'"); err != nil {
		t.Fatal(err)
	}
	h.settle(id, "Provisioning") // who looks and sees no difference moves nothing
	op := h.do(http.MethodGet, "/v0/operations?state=Stalled&cluster_id="+id, nil).want(http.StatusOK).results()[0]
	e := op["errors"].([]any)[0].(map[string]any)
	if op["state"] != "Stalled" || op["message"] != "waiting for Godot" || op["stalled_since"] == nil || e["code"] != "operation_stalled" {
		t.Errorf("operation = %v", op)
	}
	pt := h.send(mgctest.Tenant, http.MethodGet, "/v0/operations/"+op["id"].(string), nil, map[string]string{"Accept-Language": "pt-BR"}).want(http.StatusOK).body
	if !strings.Contains(string(pt), "nada avança") {
		t.Errorf("not in Portuguese: %s", pt)
	}
	if list := h.do(http.MethodGet, "/v0/operations?state=Running", nil).results(); len(list) != 0 {
		t.Errorf("a stalled operation counts as running: %v", list)
	}
	// Something moves again.
	err := h.store.Observe(t.Context(), uuid.MustParse(id), func(_ *record.Cluster, open []db.Operation) { open[0].Percentage = 50 })
	if err != nil {
		t.Fatal(err)
	}
	if op := h.do(http.MethodGet, "/v0/operations/"+op["id"].(string), nil).object(); op["state"] != "Running" || op["stalled_since"] != nil {
		t.Errorf("operation = %v", op)
	}
}

// What an operation says to people is in their language: what it waits for, each phase, and what has failed.
func TestOperationsSpeakBothLanguages(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	h.exec(`UPDATE operations SET message = 'grande: 1 of 3 nodes are ready; autoscaler: adding nodes', phases = jsonb_set(phases, '{0,message}', '"preparing the cluster"'),
		errors = '[{"code": "cloud_not_answering", "message": "waiting for the cloud: it asks to slow down"}, {"code": "operation_failed", "message": "no more 50%-disks"}]'`)
	for language, want := range map[string]string{
		"en":    "grande: 1 of 3 nodes are ready; autoscaler: adding nodes | preparing the cluster | the cloud does not answer: waiting for the cloud: it asks to slow down | no more 50%-disks",
		"pt-BR": "grande: 1 de 3 nós estão prontos; autoscaler: adicionando nós | preparando o cluster | a nuvem não responde: aguardando a nuvem: ela pede menos requisições | no more 50%-disks", //nolint:misspell // Portuguese
	} {
		for _, path := range []string{"/v0/operations", "/v0/clusters/" + id + "/operations"} {
			op := h.send(mgctest.Tenant, http.MethodGet, path, nil, map[string]string{"Accept-Language": language}).want(http.StatusOK).results()[0]
			said := []string{op["message"].(string), op["phases"].([]any)[0].(map[string]any)["message"].(string)}
			for _, e := range op["errors"].([]any) {
				said = append(said, e.(map[string]any)["message"].(string))
			}
			if got := strings.Join(said, " | "); got != want {
				t.Errorf("%s in %s\n got %s\nwant %s", path, language, got, want)
			}
		}
	}
}

func TestOperationsOfTheTenant(t *testing.T) {
	h := newHarness(t)
	first, second := h.createCluster(talkCluster), h.createCluster(`{"name":"second"}`)
	h.settle(first, "Running")
	h.do(http.MethodPatch, "/v0/clusters/"+first, `{"allowed_cidrs":["10.0.0.0/8"]}`).want(http.StatusOK)
	h.do(http.MethodDelete, "/v0/clusters/"+second, nil).want(http.StatusNoContent)
	kinds := func(query string) string {
		t.Helper()
		var list []string
		for _, op := range h.do(http.MethodGet, "/v0/operations"+query, nil).want(http.StatusOK).results() {
			list = append(list, op["kind"].(string)+" "+op["state"].(string))
		}
		return strings.Join(list, ", ")
	}
	for query, want := range map[string]string{
		"":                         "DeleteCluster Running, UpdateCluster Running, CreateCluster Cancelled, CreateCluster Running",
		"?kind=CreateCluster":      "CreateCluster Cancelled, CreateCluster Running",
		"?state=Cancelled":         "CreateCluster Cancelled",
		"?cluster_id=" + second:    "DeleteCluster Running, CreateCluster Cancelled",
		"?_limit=1&_offset=1":      "UpdateCluster Running",
		"?state=Failed&kind=":      "",
		"?state=Running&_limit=50": "DeleteCluster Running, UpdateCluster Running, CreateCluster Running",
	} {
		if got := kinds(query); got != want {
			t.Errorf("%s\n got %s\nwant %s", query, got, want)
		}
	}
	h.do(http.MethodGet, "/v0/operations?state=Asleep&kind=Dance&cluster_id=x", nil).wantProblem(http.StatusBadRequest, "invalid_request",
		map[string]string{"state": "invalid_choice", "kind": "invalid_choice", "cluster_id": "wrong_type"})
	if list := h.as(stranger, http.MethodGet, "/v0/operations", nil).results(); len(list) != 0 {
		t.Errorf("a stranger sees %v", list)
	}
}

// What has failed to reach the management cluster says when it is tried again.
func TestRetryAt(t *testing.T) {
	h := newHarness(t)
	id := h.createCluster(talkCluster)
	retryAt := func() any {
		return h.do(http.MethodGet, "/v0/clusters/"+id+"/operations", nil).results()[0]["retry_at"]
	}
	if at := retryAt(); at != nil {
		t.Errorf("retry_at = %v before anything has failed", at)
	}
	row, err := h.store.Lease(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.store.Retry(t.Context(), row, time.Minute); err != nil {
		t.Fatal(err)
	}
	if at := retryAt(); at == nil {
		t.Error("retry_at is missing")
	}
}
