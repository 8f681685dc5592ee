//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// seriesLimit is a rollout, three measurements and a rate over them on a busy machine.
const seriesLimit = 3 * time.Minute

// monitoringLimit has room for nodes that die meanwhile: the addon is Ready, or gone, only when its pods on all nodes are.
const monitoringLimit = 6 * time.Minute

// metricValues is what the API says about a series.
type metricValues struct {
	Unit   string
	Series []struct {
		Labels map[string]string
		Points [][2]float64
	}
}

// last returns the newest value of every series of which the label has the value.
func (v metricValues) last(label, value string) []float64 {
	var values []float64
	for _, s := range v.Series {
		if s.Labels[label] == value {
			values = append(values, s.Points[len(s.Points)-1][1])
		}
	}
	return values
}

func (c *cluster) metric(name string, args ...string) (v metricValues, err error) {
	res := c.r.mgc(append([]string{"metrics", "get", c.id, name, "--last", "5m", "-o", "json", "--raw"}, args...)...)
	if err := json.Unmarshal([]byte(res.stdout), &v); err != nil || res.code != 0 {
		return v, fmt.Errorf("%s", res)
	}
	if len(v.Series) == 0 {
		return v, fmt.Errorf("%s has no values yet", name)
	}
	return v, nil
}

// testMonitoring enables the addon, reads what it measures of nodes, pods, pools and the control plane, and disables it.
func testMonitoring(t *testing.T, c *cluster) {
	if res := c.r.mgc("metrics", "list", c.id); res.code != 5 || !strings.Contains(res.stderr, "addon update") {
		t.Errorf("a cluster without monitoring: %s", res)
	}
	c.r.mustMgc(t, "addon", "update", c.id, "monitoring", "--enabled", "--values", `{"scrapeSeconds": 10}`)
	for _, s := range []struct {
		name, label, has string
		least, greatest  float64
	}{
		{"node_cpu_usage_ratio", "pool", "nodepool01", 0.0001, 1.5},
		{"node_memory_used_bytes", "pool", "nodepool01", 32 << 20, 8 << 30},
		{"node_disk_usage_ratio", "pool", "nodepool01", 0.0001, 1},
		{"node_network_receive_bytes_per_second", "pool", "nodepool01", 1, 1 << 30},
		{"node_pods", "pool", "nodepool01", 1, 110},
		{"pod_cpu_usage_cores", "namespace", "kube-system", 0, 4},
		{"pod_memory_used_bytes", "namespace", "kube-system", 1 << 20, 8 << 30},
		{"pod_network_transmit_bytes_per_second", "namespace", "kube-system", 0, 1 << 30},
		{"pool_nodes", "pool", "nodepool01", 1, 4},
		{"pool_cpu_usage_ratio", "pool", "nodepool01", 0.0001, 1.5},
		{"pool_memory_usage_ratio", "pool", "nodepool01", 0.001, 1},
		{"cluster_nodes", "", "", 2, 12},
		{"apiserver_requests_per_second", "", "", 0.1, 10_000},
		{"apiserver_latency_p99_seconds", "", "", 0.0001, 60},
		{"apiserver_error_ratio", "", "", 0, 0.5},
		{"etcd_fsync_p99_seconds", "", "", 0.000001, 10},
		{"etcd_database_bytes", "", "", 1 << 20, 2 << 30},
		{"scheduler_pending_pods", "", "", 0, 100},
		{"controller_queue_length", "", "", 0, 1000},
		{"dns_requests_per_second", "", "", 0, 10_000},
	} {
		eventually(t, seriesLimit, s.name, func() error {
			v, err := c.metric(s.name)
			if err != nil {
				return err
			}
			// A pod that has just started may have next to nothing of something.
			values := v.last(s.label, s.has)
			if len(values) == 0 || slices.Max(values) < s.least || slices.Max(values) > s.greatest {
				return fmt.Errorf("%v for %q, wanted from %g to %g; all: %+v", values, s.has, s.least, s.greatest, v.Series)
			}
			return nil
		})
	}
	c.waitAddonFor(t, monitoringLimit, "monitoring", "Ready")
	v, err := c.metric("pod_memory_used_bytes", "--namespace", "kube-system", "--pool", "nodepool01")
	if err != nil {
		t.Error(err)
	}
	for _, s := range v.Series {
		if s.Labels["namespace"] != "kube-system" || s.Labels["pool"] != "nodepool01" {
			t.Errorf("a pod that was not asked for: %v", s.Labels)
		}
	}
	if table := c.r.mustMgc(t, "metrics", "get", c.id, "node_memory_used_bytes"); !strings.Contains(table, "MiB") && !strings.Contains(table, "GiB") {
		t.Errorf("the table:\n%s", table)
	}
	if res := c.r.mgcAs(c.r.other, "metrics", "get", c.id, "node_up"); res.code != 3 {
		t.Errorf("somebody else's cluster: %s", res)
	}
	c.r.mustMgc(t, "addon", "update", c.id, "monitoring", "--enabled=false")
	c.waitAddonFor(t, monitoringLimit, "monitoring", "Disabled")
	for kinds, label := range map[string]string{
		"deployment,daemonset,service,configmap,serviceaccount,role,rolebinding,networkpolicy,pvc,clusterrole,clusterrolebinding": "mke.magalu.cloud/addon=monitoring",
		"pod": "app.kubernetes.io/name in (prometheus, node-exporter)",
	} {
		if left := c.mustKubectl(t, "-n", "kube-system", "get", kinds, "-l", label, "-o", "name"); left != "" {
			t.Errorf("monitoring left behind:\n%s", left)
		}
	}
}
