package mkeapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"magalu.cloud/mke/internal/mkeapi/record"
)

var requestSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
	Name:    "mke_api_request_duration_seconds",
	Help:    "Duration of requests to the product API by route, method and status code.",
	Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
}, []string{"route", "method", "code"})

// measure observes every request under its route's pattern.
func (s *Server) measure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		recorder := middleware.NewWrapResponseWriter(w, r.ProtoMajor)
		next.ServeHTTP(recorder, r)
		if recorder.Header().Get("Content-Type") == eventStream {
			return // it lasts as long as people look on
		}
		route := chi.RouteContext(r.Context()).RoutePattern()
		requestSeconds.WithLabelValues(route, r.Method, strconv.Itoa(recorder.Status())).Observe(time.Since(start).Seconds())
	})
}

// recordCollector reads its numbers from the database when it is scraped.
type recordCollector struct{ store *record.Store }

var (
	clustersDesc = prometheus.NewDesc("mke_api_clusters", "Number of clusters by state.", []string{"state"}, nil)
	outboxDesc   = prometheus.NewDesc("mke_api_outbox_clusters", "Clusters whose desired state has not reached the management cluster.", nil, nil)
)

func (c recordCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- clustersDesc
	ch <- outboxDesc
}

func (c recordCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if counts, err := c.store.CountClusters(ctx); err == nil {
		for state, n := range counts {
			ch <- prometheus.MustNewConstMetric(clustersDesc, prometheus.GaugeValue, float64(n), state)
		}
	}
	if n, err := c.store.Backlog(ctx); err == nil {
		ch <- prometheus.MustNewConstMetric(outboxDesc, prometheus.GaugeValue, float64(n))
	}
}
