package gateway

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"magalu.cloud/mke/internal/access"
	"magalu.cloud/mke/internal/audit"
)

var requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "mke_gateway_request_duration_seconds",
	Help:    "Duration of requests by product, method and status code.",
	Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
}, []string{"product", "method", "code"})

// refusalsRecorded are the audit records per second of one caller who is refused for too many requests: a flood fills no database.
const refusalsRecorded = 5

// clientLeft stands for the status of a call whose client did not wait for the answer.
const clientLeft = 499

// report measures a request and, if it may have changed something, records it: in the log, and for mke-api, which keeps records.
func (g *Gateway) report(r *http.Request, c *call, status int, start time.Time) {
	took := time.Since(start)
	requestSeconds.WithLabelValues(c.product, knownMethod(r.Method), strconv.Itoa(status)).Observe(took.Seconds())
	if !mutates(r.Method) {
		return
	}
	record := c.record(r, cmp.Or(status, clientLeft), start, took)
	if status == http.StatusTooManyRequests && g.refusals.OnLimit(nowhere{}, r, record.TenantID+" "+record.Address) {
		skipped.Inc()
		return
	}
	g.log.Info("audit", "id", record.ID, "tenant_id", record.TenantID, "subject", record.Subject, "subject_type", record.SubjectType, "key_id", record.KeyID,
		"method", record.Method, "path", record.Path, "operation", record.Operation, "resources", record.Resources, "dry_run", record.DryRun, "status", record.Status,
		"error", record.Error, "request_id", record.RequestID, "trace_id", record.TraceID, "remote", record.Address, "user_agent", record.UserAgent,
		"duration_ms", record.DurationMS)
	line, err := json.Marshal(record)
	if err == nil && g.audit != nil {
		err = g.audit(line)
	}
	if err != nil {
		lost.Inc()
		g.log.Error("an audit record is lost but for the line above", "id", record.ID, "error", err)
	}
}

// record is what is kept about a call: of the address the path only, of the bodies nothing but an error's slug and a new object's id.
func (c *call) record(r *http.Request, status int, start time.Time, took time.Duration) audit.Record {
	record := audit.Record{ID: uuid.New(), Time: start.UTC().Truncate(time.Microsecond), Caller: c.learned.caller, Product: c.product, Method: r.Method, Path: r.URL.Path,
		DryRun: c.product == "kubernetes" && r.URL.Query().Get("dry_run") == "true", Address: remoteHost(r), UserAgent: r.UserAgent(), RequestID: c.requestID,
		TraceID: c.traceID, Status: status, Error: c.learned.slug, DurationMS: took.Milliseconds()}
	if i := c.identity; i != nil {
		record.Caller = audit.Caller{TenantID: i.TenantID, SubjectType: i.SubjectType, Subject: i.Subject, SubjectName: i.Name, KeyID: i.KeyID}
	}
	path := c.pathInProduct()
	if o, ok := access.Find(c.product, r.Method, path); ok {
		record.Operation, record.Resources = o.Method+" "+o.Path, o.Parameters(path)
	} else if c.product == "iam" && givesCredential(c.rest) {
		record.Operation = r.Method + " " + path
	}
	if c.learned.made != "" {
		record.Resources = append(record.Resources, c.learned.made)
	}
	record.Clean()
	return record
}

// nowhere takes the headers that a rate limiter writes.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}

// knownMethod keeps strangers from making up label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
