package mkeapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

// deliver brings records as the gateway does.
func (h *harness) deliver(want int, body any) {
	h.t.Helper()
	raw, ok := body.(string)
	if !ok {
		encoded, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		raw = string(encoded)
	}
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, httptest.NewRequest(http.MethodPost, audit.Path, strings.NewReader(raw)))
	if w.Code != want {
		h.t.Fatalf("delivery: %d, want %d: %s", w.Code, want, w.Body)
	}
}

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// call is the nth record of a test, one second after the one before.
func call(n int, change func(*audit.Record)) audit.Record {
	r := audit.Record{ID: uuid.New(), Time: noon.Add(time.Duration(n) * time.Second), Product: "kubernetes", Operation: "POST /v0/clusters", Method: "POST", Path: "/v0/clusters",
		Caller:  audit.Caller{TenantID: mgctest.Tenant, SubjectType: "user", Subject: "u1", SubjectName: "ana@example.com", KeyID: "k1"},
		Address: "198.51.100.7", UserAgent: "mgc/1", RequestID: fmt.Sprintf("r%d", n), Status: 201, DurationMS: 12}
	change(&r)
	return r
}

func TestAudit(t *testing.T) {
	h := newHarness(t)
	records := []audit.Record{
		call(0, func(r *audit.Record) { r.Resources = []string{"c1"} }),
		call(1, func(r *audit.Record) {
			r.Status, r.Error, r.Subject, r.SubjectName = 403, "forbidden", "u2", "bob@example.com"
		}),
		call(2, func(r *audit.Record) { r.Product, r.Operation, r.Status = "compute", "POST /v1/instances", 422 }),
		call(3, func(r *audit.Record) {
			r.Operation, r.Method, r.Resources, r.DryRun = "DELETE /v0/clusters/{cluster_id}", "DELETE", []string{"c1"}, true
		}),
		call(4, func(r *audit.Record) { r.TenantID = stranger }),
		call(5, func(r *audit.Record) { r.Caller, r.Status = audit.Caller{}, 401 }),
		call(6, func(r *audit.Record) { r.UserAgent = "evil\x00\xff" + strings.Repeat("x", 1<<16) }),
	}
	h.deliver(http.StatusNoContent, audit.Batch{Records: records[:4]})
	h.deliver(http.StatusNoContent, audit.Batch{Records: records}) // a part of it again: its answer was lost
	h.deliver(http.StatusBadRequest, `{"records": [`)

	list := func(query string) (ids []string) {
		t.Helper()
		for _, r := range h.do(http.MethodGet, "/v1alpha0/audit?"+query, nil).want(http.StatusOK).results() {
			ids = append(ids, strings.TrimPrefix(r["request_id"].(string), "r"))
		}
		return ids
	}
	for query, want := range map[string]string{
		"":                          "[6 3 2 1 0]",
		"actor=u2":                  "[1]",
		"actor=bob@example.com":     "[1]",
		"actor=k1&result=failed":    "[2]",
		"product=compute":           "[2]",
		"resource=c1":               "[3 0]",
		"request_id=r2":             "[2]",
		"result=refused":            "[1]",
		"result=succeeded&_limit=2": "[6 3]",
		"from=2026-11-27T12:00:01Z&to=2026-11-27T12:00:03Z":                "[2 1]",
		"operation=" + url.QueryEscape("DELETE /v0/clusters/{cluster_id}"): "[3]",
		"actor=nobody": "[]",
	} {
		if got := fmt.Sprint(list(query)); got != want {
			t.Errorf("?%s: %s, want %s", query, got, want)
		}
	}
	if got := h.as(stranger, http.MethodGet, "/v1alpha0/audit", nil).want(http.StatusOK).results(); len(got) != 1 || got[0]["request_id"] != "r4" {
		t.Errorf("another tenant sees %v", got)
	}
	one := "/v1alpha0/audit/" + records[1].ID.String()
	got := h.do(http.MethodGet, one, nil).want(http.StatusOK).object()
	actor := got["actor"].(map[string]any)
	if got["result"] != audit.Refused || got["error"] != "forbidden" || actor["name"] != "bob@example.com" || actor["key_id"] != "k1" || got["dry_run"] != false ||
		got["address"] != "198.51.100.7" || got["duration_ms"] != 12.0 {
		t.Errorf("got %v", got)
	}
	h.as(stranger, http.MethodGet, one, nil).wantProblem(404, "audit_record_not_found", nil)
	h.do(http.MethodGet, "/v1alpha0/audit/x", nil).wantProblem(404, "audit_record_not_found", nil)
	h.do(http.MethodGet, "/v1alpha0/audit?_limit=0&_after=x&from=tomorrow&result=good&actor=%00", nil).wantProblem(400, "invalid_request",
		map[string]string{"_limit": "invalid_page", "_after": "invalid_cursor", "from": "invalid_time", "result": "invalid_choice", "actor": "invalid_text"})

	// What is too old goes, and nothing else.
	if n, err := h.store.ForgetAudit(t.Context(), noon.Add(3*time.Second)); n != 3 || err != nil {
		t.Errorf("%d were removed, %v", n, err)
	}
	if got := fmt.Sprint(list("")); got != "[6 3]" {
		t.Errorf("left are %s", got)
	}
}

// Pages go on where the last one ended, also when several calls came in the same moment and new ones come in between.
func TestAuditPages(t *testing.T) {
	h := newHarness(t)
	var records []audit.Record
	for n := range 7 {
		records = append(records, call(n/3, func(r *audit.Record) { r.RequestID = fmt.Sprint(n) }))
	}
	h.deliver(http.StatusNoContent, audit.Batch{Records: records})
	seen, path := map[string]bool{}, "/v1alpha0/audit?_limit=3"
	pages := 0
	for next := ""; ; pages++ {
		var page struct {
			Results []struct {
				RequestID string `json:"request_id"`
			}
			Next string
		}
		h.do(http.MethodGet, path+"&_after="+url.QueryEscape(next), nil).want(http.StatusOK).into(&page)
		for _, r := range page.Results {
			if seen[r.RequestID] {
				t.Errorf("%s came twice", r.RequestID)
			}
			seen[r.RequestID] = true
		}
		h.deliver(http.StatusNoContent, audit.Batch{Records: []audit.Record{call(100+pages, func(r *audit.Record) { r.RequestID = "new" })}})
		if next = page.Next; next == "" {
			break
		}
	}
	if len(seen) != 7 || pages != 2 {
		t.Errorf("%d records on %d pages: %v", len(seen), pages+1, seen)
	}
}
