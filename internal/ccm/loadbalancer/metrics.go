package loadbalancer

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"magalu.cloud/mke/internal/mgc"
)

var (
	passes = promauto.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "mke_ccm_loadbalancer_pass_duration_seconds",
		Help:    "Duration of passes over the load balancer of a Service, by operation (ensure, update, delete) and result (ok, waiting, refused, error).",
		Buckets: []float64{.01, .05, .1, .25, .5, 1, 2, 4, 8},
	}, []string{"operation", "result"})
	calls = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "mke_ccm_loadbalancer_cloud_calls_total",
		Help: "Calls of the cloud about load balancers, by call and status (ok, none without an answer, else the HTTP status).",
	}, []string{"call", "status"})
)

func countCall(name string, err error) {
	status := "ok"
	var answer *mgc.Error
	switch {
	case errors.As(err, &answer):
		status = strconv.Itoa(answer.StatusCode)
	case err != nil:
		status = "none"
	}
	calls.WithLabelValues(name, status).Inc()
}

func observe(operation string, begun time.Time, err error) {
	result := "error"
	var wait *waiting
	var no *refusal
	switch {
	case err == nil:
		result = "ok"
	case errors.As(err, &wait):
		result = "waiting"
	case errors.As(err, &no):
		result = "refused"
	}
	passes.WithLabelValues(operation, result).Observe(time.Since(begun).Seconds())
}
