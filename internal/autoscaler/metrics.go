package autoscaler

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

const metricsPrefix = "cluster_autoscaler_"

// Metrics, with the names of upstream's cluster-autoscaler.
var (
	safeToAutoscale   = gauge("cluster_safe_to_autoscale", "Whether the cluster is healthy enough to be changed.")
	inCooldown        = gauge("scale_down_in_cooldown", "Whether removals wait after an addition, a removal or a failure.")
	nodesCount        = gaugeVec("nodes_count", "Nodes by state.", "state")
	nodeGroupsCount   = gaugeVec("node_groups_count", "Node groups.", "node_group_type")
	unschedulablePods = gaugeVec("unschedulable_pods_count", "Pods that wait for a node: the scheduler refused them (unschedulable), or is behind and has not tried them yet (scheduler_unprocessed).", "type")
	unneededNodes     = gauge("unneeded_nodes_count", "Nodes that are not needed.")
	unremovableNodes  = gaugeVec("unremovable_nodes_count", "Nodes that stay, by reason.", "reason")
	maxNodes          = gauge("max_nodes_count", "Largest number of nodes in all groups.")
	groupMin          = gaugeVec("node_group_min_count", "Smallest size of a group.", "node_group")
	groupMax          = gaugeVec("node_group_max_count", "Largest size of a group.", "node_group")
	groupTarget       = gaugeVec("node_group_target_count", "Target size of a group.", "node_group")
	groupBackoff      = gaugeVec("node_group_backoff_status", "Whether a group is left alone after a failure.", "node_group", "reason")
	lastActivity      = gaugeVec("last_activity", "When something was last done, in Unix time.", "activity")

	scaledUpNodes   = counter("scaled_up_nodes_total", "Nodes asked for.")
	scaledDownNodes = counterVec("scaled_down_nodes_total", "Nodes removed, by reason.", "reason")
	failedScaleUps  = counterVec("failed_scale_ups_total", "Failures to get nodes, by reason.", "reason")
	evictedPods     = counterVec("evicted_pods_total", "Evictions asked for, by result.", "eviction_result")
	errorsTotal     = counterVec("errors_total", "Looks that ended with an error.", "type")

	durations = register(prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: metricsPrefix + "function_duration_seconds", Help: "Time spent in a part of a look.",
		Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
	}, []string{"function"}))
)

func register[C prometheus.Collector](c C) C {
	metrics.Registry.MustRegister(c)
	return c
}

func gauge(name, help string) prometheus.Gauge {
	return register(prometheus.NewGauge(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}))
}

func gaugeVec(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metricsPrefix + name, Help: help}, labels))
}

func counter(name, help string) prometheus.Counter {
	return register(prometheus.NewCounter(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}))
}

func counterVec(name, help string, labels ...string) *prometheus.CounterVec {
	return register(prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricsPrefix + name, Help: help}, labels))
}

func observeDuration(function string, began time.Time) {
	durations.WithLabelValues(function).Observe(time.Since(began).Seconds())
}

func btof(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (a *autoscaler) setMetrics(l *look) {
	c := l.health.counts
	safeToAutoscale.Set(btof(l.health.safe))
	for state, n := range map[string]int{
		"ready": c.ready, "unready": c.unready, "notStarted": c.notStarted, "unregistered": c.unregistered, "longUnregistered": c.longUnregistered,
	} {
		nodesCount.WithLabelValues(state).Set(float64(n))
	}
	nodeGroupsCount.WithLabelValues("autoscaled").Set(float64(len(l.views)))
	for _, vec := range []*prometheus.GaugeVec{groupMin, groupMax, groupTarget, groupBackoff} {
		vec.Reset()
	}
	most := 0
	for i := range l.views {
		v := &l.views[i]
		most += v.Max
		groupMin.WithLabelValues(v.Name).Set(float64(v.Min))
		groupMax.WithLabelValues(v.Name).Set(float64(v.Max))
		groupTarget.WithLabelValues(v.Name).Set(float64(v.Target))
		if a.backoff.blocked(v.Name, l.now) != "" {
			groupBackoff.WithLabelValues(v.Name, a.backoff.groups[v.Name].code).Set(1)
		}
	}
	if a.opts.MaxNodesTotal > 0 {
		most = a.opts.MaxNodesTotal
	}
	maxNodes.Set(float64(most))
	lastActivity.WithLabelValues("main").Set(float64(l.now.Unix()))
}
