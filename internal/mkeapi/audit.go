package mkeapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/audit"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

// maxDelivery bounds what the gateway delivers at once.
const maxDelivery = 8 << 20

// takeAudit keeps what the gateway has recorded.
func (s *Server) takeAudit(w http.ResponseWriter, r *http.Request) {
	var batch audit.Batch
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDelivery)).Decode(&batch); err != nil {
		problem.Write(w, r, problem.New(problem.MalformedJSON, err))
		return
	}
	for i := range batch.Records {
		batch.Records[i].Clean()
	}
	if err := s.store.KeepAudit(r.Context(), batch.Records); err != nil {
		s.log.Error("keep audit records", "records", len(batch.Records), "error", err)
		problem.Write(w, r, problem.New(problem.Unavailable))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// auditRecord is one call that may have changed something. It is not part of the published contract.
type auditRecord struct {
	ID         uuid.UUID  `json:"id"`
	Time       time.Time  `json:"time" doc:"When the call came"`
	Actor      auditActor `json:"actor"`
	Product    string     `json:"product" doc:"First segment of the address, such as kubernetes or compute"`
	Operation  string     `json:"operation" doc:"Method and documented path; empty if the address means nothing"`
	Method     string     `json:"method"`
	Path       string     `json:"path"`
	Resources  []string   `json:"resources" nullable:"false" doc:"Ids in the path, then that of what was made"`
	DryRun     bool       `json:"dry_run" doc:"Nothing was to be changed"`
	Address    string     `json:"address" doc:"Where the call came from"`
	UserAgent  string     `json:"user_agent"`
	RequestID  string     `json:"request_id"`
	TraceID    string     `json:"trace_id"`
	Result     string     `json:"result" enum:"succeeded,refused,failed" doc:"refused means 401, 403 or 429"`
	Status     int        `json:"status"`
	Error      string     `json:"error,omitempty" doc:"Slug"`
	DurationMS int64      `json:"duration_ms"`
}

type auditActor struct {
	Type  string `json:"type" doc:"user, service_account, or empty if nobody knows"`
	ID    string `json:"id"`
	Name  string `json:"name"`
	KeyID string `json:"key_id,omitempty" doc:"Id of the API key, also of the one that an access token was got with"`
}

func toAuditRecord(r *audit.Record) auditRecord {
	return auditRecord{ID: r.ID, Time: r.Time, Actor: auditActor{r.SubjectType, r.Subject, r.SubjectName, r.KeyID}, Product: r.Product, Operation: r.Operation,
		Method: r.Method, Path: r.Path, Resources: r.Resources, DryRun: r.DryRun, Address: r.Address, UserAgent: r.UserAgent, RequestID: r.RequestID, TraceID: r.TraceID,
		Result: audit.Result(r.Status), Status: r.Status, Error: r.Error, DurationMS: r.DurationMS}
}

// auditPage is a page of records. A cursor stays good while new records come and old ones go.
type auditPage struct {
	Results []auditRecord `json:"results" nullable:"false"`
	Next    string        `json:"next,omitempty" doc:"Give it as _after to get the records that follow; absent on the last page"`
}

// AuditQuery chooses among the tenant's audit records.
type AuditQuery struct {
	Limit     string `query:"_limit" doc:"Records per page, 1 to 1000"`
	After     string `query:"_after" doc:"next of the page before"`
	From      string `query:"from" doc:"Time such as 2026-11-22T12:00:00Z"`
	To        string `query:"to" doc:"Time; that moment itself is left out"`
	Actor     string `query:"actor" doc:"Id or name of a user or service account, or id of an API key"`
	Product   string `query:"product" doc:"Such as kubernetes"`
	Operation string `query:"operation" doc:"Such as: DELETE /v0/clusters/{cluster_id}"`
	Resource  string `query:"resource" doc:"Id of something that the call was about"`
	Result    string `query:"result" doc:"succeeded, refused or failed"`
	RequestID string `query:"request_id"`
}

func (q AuditQuery) filter(tenant string) (f record.AuditFilter, err error) {
	var l problem.List
	f = record.AuditFilter{TenantID: tenant, PageLimit: maxPage, Actor: given(q.Actor), Product: given(q.Product), Operation: given(q.Operation),
		Resource: given(q.Resource), RequestID: given(q.RequestID), Result: chosen(&l, "result", q.Result, []string{audit.Succeeded, audit.Refused, audit.Failed})}
	if q.Limit != "" {
		f.PageLimit = int32(min(parseAtLeast(&l, "_limit", q.Limit, 1), maxPage))
	}
	f.Since, f.Until = moment(&l, "from", q.From), moment(&l, "to", q.To)
	if q.After != "" {
		at, id, ok := parseCursor(q.After)
		if !ok {
			l.Add("_after", problem.InvalidCursor)
		}
		f.BeforeAt, f.BeforeID = &at, &id
	}
	for field, text := range map[string]string{"actor": q.Actor, "product": q.Product, "operation": q.Operation, "resource": q.Resource, "request_id": q.RequestID} {
		if strings.ContainsRune(text, 0) {
			l.Add(field, problem.InvalidText)
		}
	}
	return f, l.Err()
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func moment(l *problem.List, field, text string) *time.Time {
	if text == "" {
		return nil
	}
	t := parseTime(l, field, text, time.Time{})
	return &t
}

// A cursor names the last record of a page.
func cursorOf(r *audit.Record) string {
	return r.Time.Format(time.RFC3339Nano) + "," + r.ID.String()
}

func parseCursor(text string) (at time.Time, id uuid.UUID, ok bool) {
	first, second, _ := strings.Cut(text, ",")
	at, err := time.Parse(time.RFC3339Nano, first)
	if err != nil {
		return at, id, false
	}
	id, err = uuid.Parse(second)
	return at, id, err == nil
}

func (s *Server) findAudit(ctx context.Context, in *struct{ AuditQuery }) (*answer[auditPage], error) {
	filter, err := in.filter(tenantOf(ctx))
	if err != nil {
		return nil, err
	}
	limit := int(filter.PageLimit)
	filter.PageLimit++ // one more tells whether there is a next page
	records, err := s.store.FindAudit(ctx, filter)
	if err != nil {
		return nil, err
	}
	page := auditPage{Results: make([]auditRecord, 0, len(records))}
	for i := range records[:min(limit, len(records))] {
		page.Results = append(page.Results, toAuditRecord(&records[i]))
	}
	if len(records) > limit {
		page.Next = cursorOf(&records[limit-1])
	}
	return &answer[auditPage]{page}, nil
}

func (s *Server) getAudit(ctx context.Context, in *struct {
	RecordID string `path:"record_id" doc:"UUID of the record"`
}) (*answer[auditRecord], error) {
	id, err := parseID(in.RecordID, problem.AuditRecordNotFound)
	if err != nil {
		return nil, err
	}
	r, err := s.store.GetAudit(ctx, tenantOf(ctx), id)
	if err != nil {
		return nil, err
	}
	return &answer[auditRecord]{toAuditRecord(&r)}, nil
}
