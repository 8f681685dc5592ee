package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/audit"
)

// last is the record of the last call, without what differs each time.
func (w *world) last() audit.Record {
	w.t.Helper()
	if len(w.records) == 0 {
		w.t.Fatal("nothing was recorded")
	}
	r := w.records[len(w.records)-1]
	if r.ID == uuid.Nil || time.Since(r.Time) > time.Minute || r.DurationMS < 0 || r.TraceID == "" {
		w.t.Errorf("got %+v", r)
	}
	r.ID, r.Time, r.DurationMS, r.TraceID = uuid.Nil, time.Time{}, 0, ""
	return r
}

func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

var maria = audit.Caller{TenantID: "tenant-1", SubjectType: "user", Subject: "maria", SubjectName: "maria@example.com", KeyID: "key-1"}

// Every call that may have changed something is recorded: who, what, from where, with what result. Reads are not.
func TestAuditRecords(t *testing.T) {
	w := newWorld(t, nil)
	w.do(http.MethodGet, "/v0/clusters", "")
	if len(w.records) != 0 || w.log.Len() != 0 {
		t.Errorf("a read was recorded: %v %s", w.records, w.log)
	}
	const secret = "not-for-the-record"
	for _, c := range []struct {
		method, path, key string
		answer            http.HandlerFunc
		want              audit.Record
	}{
		{"DELETE", "/br-se1/kubernetes/v0/clusters/c1/node_pools/p1?dry_run=true&x=" + secret, goodKey, answer(200, "text/plain", secret),
			audit.Record{Caller: maria, Product: "kubernetes", Operation: "DELETE /v0/clusters/{cluster_id}/node_pools/{node_pool_id}", Path: "/br-se1/kubernetes/v0/clusters/c1/node_pools/p1",
				Resources: []string{"c1", "p1"}, DryRun: true, Status: 200}},
		{"POST", "/v0/clusters", goodKey, answer(201, "application/json", `{"id":"c2","kubeconfig":"`+secret+`"}`),
			audit.Record{Caller: maria, Product: "kubernetes", Operation: "POST /v0/clusters", Path: "/v0/clusters", Resources: []string{"c2"}, Status: 201}},
		{"POST", "/iam/api/v1/service-accounts/a1/api-keys", goodKey, answer(201, "application/json", `{"api_key":"`+secret+`","uuid":"k2"}`),
			audit.Record{Caller: maria, Product: "iam", Operation: "POST /api/v1/service-accounts/{sa_uuid}/api-keys", Path: "/iam/api/v1/service-accounts/a1/api-keys",
				Resources: []string{"a1", "k2"}, Status: 201}},
		{"POST", "/compute/v1/instances", goodKey, answer(422, "application/json; charset=utf-8", `{"slug":"quota_exceeded","id":"no","message":"`+secret+`"}`),
			audit.Record{Caller: maria, Product: "compute", Operation: "POST /v1/instances", Path: "/compute/v1/instances", Status: 422, Error: "quota_exceeded"}},
		{"PATCH", "/v0/clusters/c1", readKey, nil,
			audit.Record{Caller: audit.Caller{TenantID: "tenant-1", Subject: "bot"}, Product: "kubernetes", Operation: "PATCH /v0/clusters/{cluster_id}", Path: "/v0/clusters/c1",
				Resources: []string{"c1"}, Status: 403, Error: "forbidden"}},
		{"DELETE", "/v0/clusters/c1", wrongKey, nil,
			audit.Record{Product: "kubernetes", Operation: "DELETE /v0/clusters/{cluster_id}", Path: "/v0/clusters/c1", Resources: []string{"c1"}, Status: 401, Error: "unauthorized"}},
		{"POST", "/nowhere", goodKey, nil, audit.Record{Caller: maria, Path: "/nowhere", Status: 404, Error: "not_found"}},
		{"PUT", "/network/v0/x", goodKey, answer(500, "application/json", `not JSON `+secret),
			audit.Record{Caller: maria, Product: "network", Path: "/network/v0/x", Status: 500}},
	} {
		w.answer = c.answer
		res := w.do(c.method, c.path, `{"password":"`+secret+`"}`, "X-Api-Key", c.key, "X-Request-Id", "r1", "User-Agent", "mgc/1")
		c.want.Method, c.want.Address, c.want.UserAgent, c.want.RequestID = c.method, "192.0.2.1", "mgc/1", "r1"
		if got := w.last(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s\n got %+v\nwant %+v", c.method, c.path, got, c.want)
		}
		if body, err := io.ReadAll(res.Body); c.answer != nil && (err != nil || !strings.Contains(string(body), secret)) {
			t.Errorf("%s %s: the answer does not arrive whole: %q %v", c.method, c.path, body, err)
		}
	}
	records, err := json.Marshal(w.records)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{secret, goodKey, readKey, wrongKey, systemKey} {
		if strings.Contains(string(records), s) || strings.Contains(w.log.String(), s) {
			t.Errorf("%s is in the records or the log", s)
		}
	}
	if n := strings.Count(w.log.String(), `"msg":"audit"`); n != len(w.records) {
		t.Errorf("%d lines in the log of %d records", n, len(w.records))
	}
}

// Of sign-ins and tokens IAM says whom they are about, to the gateway only.
func TestAuditOfSignIns(t *testing.T) {
	w := newWorld(t, nil)
	w.answer = func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != systemKey {
			t.Errorf("IAM cannot know that the gateway asks: %v", r.Header)
		}
		rw.Header().Set(audit.CallerHeader, maria.Encode())
		answer(401, "application/json", `{"error":"invalid_client","id":"no"}`)(rw, r)
	}
	res := w.do(http.MethodPost, "/iam/oauth/token", "client_secret=x", "X-Api-Key", "")
	want := audit.Record{Caller: maria, Product: "iam", Operation: "POST /oauth/token", Method: "POST", Path: "/iam/oauth/token", Address: "192.0.2.1", Status: 401, Error: "invalid_client"}
	got := w.last()
	got.RequestID = ""
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if name := res.Header.Get(audit.CallerHeader); name != "" {
		t.Errorf("the client is told %q", name)
	}
	// A server cannot say of a call with a credential that it was somebody else's.
	w.answer = func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set(audit.CallerHeader, audit.Caller{TenantID: "other"}.Encode())
	}
	if res := w.do(http.MethodDelete, "/compute/v1/instances/x", ""); w.last().TenantID != "tenant-1" || res.Header.Get(audit.CallerHeader) != "" {
		t.Errorf("got %+v", w.last())
	}
}

// A flood of refused calls is recorded, but not all of it.
func TestAuditOfFloods(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.WriteLimit = 1 })
	for n := range 60 {
		if res := w.do(http.MethodDelete, fmt.Sprintf("/v0/clusters/c%d", n), ""); n > 0 && res.StatusCode != http.StatusTooManyRequests && len(w.records) < 4 {
			t.Fatalf("call %d: %d", n, res.StatusCode)
		}
	}
	if n := len(w.records); n < 3 || n > 40 {
		t.Errorf("%d records", n)
	}
	if got := w.records[1]; got.Error != "too_many_requests" || got.TenantID != "tenant-1" {
		t.Errorf("got %+v", got)
	}
}

// A record that cannot be kept is counted, and is in the log at least.
func TestAuditIsNotLostInSilence(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Audit = func([]byte) error { return errors.New("full") } })
	before := count(t, lost)
	if res := w.do(http.MethodDelete, "/v0/clusters/c1", ""); res.StatusCode != http.StatusOK {
		t.Errorf("the call fails: %d", res.StatusCode)
	}
	if count(t, lost) != before+1 || !strings.Contains(w.log.String(), `"operation":"DELETE /v0/clusters/{cluster_id}"`) || !strings.Contains(w.log.String(), "is lost") {
		t.Errorf("log: %s", w.log)
	}
}
