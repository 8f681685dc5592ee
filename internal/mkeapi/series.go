package mkeapi

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/prometheus/common/model"

	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/problem"
)

const (
	maxSeries = 1000
	maxPoints = 11_000 // of one series, as in Prometheus itself
)

// metricResponse describes a series. Series are not part of the published contract.
type metricResponse struct {
	Name        string   `json:"name"`
	Scope       string   `json:"scope" enum:"cluster,pool,node,pod"`
	Unit        string   `json:"unit" enum:"ratio,cores,count,bytes,bytes_per_second,per_second,seconds"`
	Description string   `json:"description"`
	Labels      []string `json:"labels" nullable:"false" doc:"What tells its series apart, and what they can be chosen by"`
}

// metricValues are the values of all series of one name that were chosen.
type metricValues struct {
	Name   string         `json:"name"`
	Unit   string         `json:"unit"`
	Series []metricSeries `json:"series" nullable:"false"`
}

type metricSeries struct {
	Labels map[string]string `json:"labels"`
	// A point is a list of two, as graph libraries take it.
	Points [][2]float64 `json:"points" nullable:"false" doc:"Pairs of a time in seconds since 1970 and a value; times without a value are left out"`
}

// MetricPath is the path of a series.
type MetricPath struct {
	ClusterPath
	Name string `path:"metric_name" doc:"Name of the series" example:"node_cpu_usage_ratio"`
}

// MetricQuery says which values are meant.
type MetricQuery struct {
	Start     string `query:"start" doc:"RFC 3339, or seconds since 1970; an hour before the end by default"`
	End       string `query:"end" doc:"RFC 3339, or seconds since 1970; now by default"`
	Step      string `query:"step" doc:"Time between two points, such as 30s; a 240th of the range by default, at least 15s"`
	Pool      string `query:"pool" doc:"Name of a node pool"`
	Node      string `query:"node" doc:"Name of a node"`
	Namespace string `query:"namespace" doc:"Namespace of pods"`
	Pod       string `query:"pod" doc:"Name of a pod"`
}

type metricInput struct {
	MetricPath
	MetricQuery
}

func (s *Server) listMetrics(ctx context.Context, in *ClusterPath) (*answer[results[metricResponse]], error) {
	if _, err := s.monitored(ctx, in.ClusterID); err != nil {
		return nil, err
	}
	list := make([]metricResponse, 0, len(catalog.AllSeries()))
	for _, m := range catalog.AllSeries() {
		labels := m.Scope.Labels()
		if labels == nil {
			labels = []string{}
		}
		list = append(list, metricResponse{m.Name, string(m.Scope), m.Unit, m.Description, labels})
	}
	return &answer[results[metricResponse]]{results[metricResponse]{list}}, nil
}

func (s *Server) getMetric(ctx context.Context, in *metricInput) (*answer[metricValues], error) {
	c, err := s.monitored(ctx, in.ClusterID)
	if err != nil {
		return nil, err
	}
	m, known := catalog.FindSeries(in.Name)
	if !known {
		return nil, problem.New(problem.SeriesNotFound, in.Name)
	}
	query, err := in.parse(m, time.Now())
	if err != nil {
		return nil, err
	}
	matrix, err := s.nodes.QueryRange(ctx, c.ID.String(), c.Name, query)
	if errors.Is(err, errTooMuchData) {
		return nil, problem.New(problem.TooMuchData, maxSeries)
	}
	if err != nil {
		s.log.Warn("ask a cluster's monitoring", "cluster_id", c.ID, "error", err)
		return nil, problem.New(problem.MonitoringUnavailable)
	}
	return &answer[metricValues]{toValues(m, matrix)}, nil
}

// monitored returns a cluster whose monitoring addon is enabled.
func (s *Server) monitored(ctx context.Context, id string) (*record.Cluster, error) {
	c, err := s.cluster(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.State == record.StateDeleting {
		return nil, problem.New(problem.ClusterDeleting)
	}
	if addon, _ := catalog.FindAddon(catalog.Monitoring); !enabled(&c.Cluster, addon) {
		return nil, problem.New(problem.MonitoringDisabled)
	}
	return c, nil
}

// toValues takes over only what the catalogue says that a series has: the cluster's owner may have put anything into its Prometheus.
func toValues(m catalog.Series, matrix model.Matrix) metricValues {
	v := metricValues{Name: m.Name, Unit: m.Unit, Series: make([]metricSeries, 0, len(matrix))}
	for _, stream := range matrix {
		one := metricSeries{Labels: map[string]string{}, Points: make([][2]float64, 0, len(stream.Values))}
		for _, label := range m.Scope.Labels() {
			if value := stream.Metric[model.LabelName(label)]; value != "" {
				one.Labels[label] = string(value)
			}
		}
		for _, p := range stream.Values {
			if value := float64(p.Value); !math.IsNaN(value) && !math.IsInf(value, 0) {
				one.Points = append(one.Points, [2]float64{float64(p.Timestamp) / 1000, value})
			}
		}
		if len(one.Points) > 0 {
			v.Series = append(v.Series, one)
		}
	}
	return v
}
