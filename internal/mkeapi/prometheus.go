package mkeapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	queryTimeout = 10 * time.Second
	// maxQueryAnswer is room for half a million points.
	maxQueryAnswer = 24 << 20
)

// errTooMuchData says that a query has more series or points than are passed on.
var errTooMuchData = errors.New("too much data")

// rangeQuery asks for the values of an expression from start to end.
type rangeQuery struct {
	expression string
	start, end time.Time
	step       time.Duration
}

// QueryRange reaches Prometheus through the API server's proxy of Services, with the cluster's own kubeconfig.
func (a *clusterAccess) QueryRange(ctx context.Context, clusterID, clusterName string, q rangeQuery) (model.Matrix, error) {
	clientset, err := a.clientset(ctx, clusterID, clusterName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	body, err := clientset.CoreV1().Services(metav1.NamespaceSystem).ProxyGet("http", "prometheus", "9090", "/api/v1/query_range", map[string]string{
		"query": q.expression, "start": strconv.FormatInt(q.start.Unix(), 10), "end": strconv.FormatInt(q.end.Unix(), 10),
		"step": strconv.FormatFloat(q.step.Seconds(), 'f', -1, 64), "limit": strconv.Itoa(maxSeries + 1), "timeout": queryTimeout.String(),
	}).Stream(ctx)
	if apierrors.IsInvalid(err) { // 422: it reads no more samples than its flags allow
		return nil, errTooMuchData
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	text, err := io.ReadAll(http.MaxBytesReader(nil, body, maxQueryAnswer))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return nil, errTooMuchData
	}
	if err != nil {
		return nil, fmt.Errorf("answer of Prometheus: %w", err)
	}
	var answer struct {
		Status string
		Data   struct {
			ResultType string
			Result     model.Matrix
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("answer of Prometheus: %w", err)
	}
	if answer.Status != "success" || answer.Data.ResultType != "matrix" {
		return nil, fmt.Errorf("answer of Prometheus: status %q, result %q", answer.Status, answer.Data.ResultType)
	}
	if len(answer.Data.Result) > maxSeries {
		return nil, errTooMuchData
	}
	return answer.Data.Result, nil
}
