package gateway

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "mke_gateway_request_duration_seconds",
	Help:    "Duration of requests by product, method and status code.",
	Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
}, []string{"product", "method", "code"})

// report measures a request and, if it may have changed something, writes a line of the audit log.
func (g *Gateway) report(r *http.Request, c *call, status int, took time.Duration) {
	requestSeconds.WithLabelValues(c.product, knownMethod(r.Method), strconv.Itoa(status)).Observe(took.Seconds())
	if !mutates(r.Method) {
		return
	}
	var tenant, subject, subjectType string
	if c.identity != nil {
		tenant, subject, subjectType = c.identity.TenantID, c.identity.Subject, c.identity.SubjectType
	}
	g.log.Info("audit", "tenant_id", tenant, "subject", subject, "subject_type", subjectType, "method", r.Method, "path", r.URL.Path,
		"status", status, "request_id", c.requestID, "trace_id", c.traceID, "remote", remoteHost(r), "user_agent", r.UserAgent(),
		"duration_ms", took.Milliseconds())
}

// knownMethod keeps strangers from making up label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
