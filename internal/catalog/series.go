package catalog

import "slices"

// Scope is what a series is about.
type Scope string

const (
	ClusterScope  Scope = "cluster"
	NodePoolScope Scope = "pool"
	NodeScope     Scope = "node"
	PodScope      Scope = "pod"
)

// Labels that tell the series of a scope apart, and by which they can be chosen.
func (s Scope) Labels() []string {
	switch s {
	case NodePoolScope:
		return []string{"pool"}
	case NodeScope:
		return []string{"node", "pool"}
	case PodScope:
		return []string{"namespace", "pod", "node", "pool"}
	}
	return nil
}

// Series is a measurement that the monitoring addon makes.
type Series struct {
	Name        string
	Scope       Scope
	Unit        string
	Description string
	// Rule is the recording rule that computes it, see the manifests of the addon.
	Rule string
}

// Units of series.
const (
	ratio          = "ratio"
	cores          = "cores"
	count          = "count"
	byteUnit       = "bytes"
	bytesPerSecond = "bytes_per_second"
	perSecond      = "per_second"
	seconds        = "seconds"
)

var series = []Series{
	{"node_up", NodeScope, count, "1 while the kubelet answers, 0 while it does not", "node:up:min"},
	{"node_pods", NodeScope, count, "pods that run", "node:pods:sum"},
	{"node_cpu_usage_cores", NodeScope, cores, "CPU in use", "node:cpu_usage_seconds:rate"},
	{"node_cpu_usage_ratio", NodeScope, ratio, "CPU in use, as a part of the node's", "node:cpu_usage:ratio"},
	{"node_memory_used_bytes", NodeScope, byteUnit, "memory in use that cannot be reclaimed (working set)", "node:memory_working_set_bytes:max"},
	{"node_memory_available_bytes", NodeScope, byteUnit, "memory of the node without what is in use", "node:memory_available_bytes:max"},
	{"node_memory_usage_ratio", NodeScope, ratio, "memory in use, as a part of the node's", "node:memory_usage:ratio"},
	{"node_disk_used_bytes", NodeScope, byteUnit, "use of the node's own disk", "node:filesystem_used_bytes:max"},
	{"node_disk_usage_ratio", NodeScope, ratio, "use of the node's own disk, as a part of its size", "node:filesystem_usage:ratio"},
	{"node_network_receive_bytes_per_second", NodeScope, bytesPerSecond, "what the node receives", "node:network_receive_bytes:rate"},
	{"node_network_transmit_bytes_per_second", NodeScope, bytesPerSecond, "what the node sends", "node:network_transmit_bytes:rate"},

	{"pod_cpu_usage_cores", PodScope, cores, "CPU in use", "pod:cpu_usage_seconds:rate"},
	{"pod_memory_used_bytes", PodScope, byteUnit, "memory in use that cannot be reclaimed (working set)", "pod:memory_working_set_bytes:max"},
	{"pod_network_receive_bytes_per_second", PodScope, bytesPerSecond, "what the pod receives; none for pods in their node's network", "pod:network_receive_bytes:rate"},
	{"pod_network_transmit_bytes_per_second", PodScope, bytesPerSecond, "what the pod sends; none for pods in their node's network", "pod:network_transmit_bytes:rate"},

	{"pool_nodes", NodePoolScope, count, "nodes whose kubelet answers", "pool:nodes:sum"},
	{"pool_pods", NodePoolScope, count, "pods that run", "pool:pods:sum"},
	{"pool_cpu_usage_cores", NodePoolScope, cores, "CPU in use", "pool:cpu_usage_seconds:rate"},
	{"pool_cpu_usage_ratio", NodePoolScope, ratio, "CPU in use, as a part of the nodes'", "pool:cpu_usage:ratio"},
	{"pool_memory_used_bytes", NodePoolScope, byteUnit, "memory in use that cannot be reclaimed (working set)", "pool:memory_working_set_bytes:sum"},
	{"pool_memory_usage_ratio", NodePoolScope, ratio, "memory in use, as a part of the nodes'", "pool:memory_usage:ratio"},
	{"pool_network_receive_bytes_per_second", NodePoolScope, bytesPerSecond, "what the nodes receive", "pool:network_receive_bytes:rate"},
	{"pool_network_transmit_bytes_per_second", NodePoolScope, bytesPerSecond, "what the nodes send", "pool:network_transmit_bytes:rate"},

	{"cluster_nodes", ClusterScope, count, "nodes whose kubelet answers, the control plane's included", "cluster:nodes:sum"},
	{"cluster_pods", ClusterScope, count, "pods that run", "cluster:pods:sum"},
	{"cluster_cpu_usage_ratio", ClusterScope, ratio, "CPU in use, as a part of all nodes'", "cluster:cpu_usage:ratio"},
	{"cluster_memory_usage_ratio", ClusterScope, ratio, "memory in use, as a part of all nodes'", "cluster:memory_usage:ratio"},
	{"apiserver_requests_per_second", ClusterScope, perSecond, "requests to the API server", "cluster:apiserver_requests:rate"},
	{"apiserver_error_ratio", ClusterScope, ratio, "requests that the API server answered with 5xx, as a part of all", "cluster:apiserver_request_errors:ratio"},
	{"apiserver_latency_p99_seconds", ClusterScope, seconds, "time within which 99 % of requests are answered, watches left out", "cluster:apiserver_request_duration_seconds:p99"},
	{"etcd_fsync_p99_seconds", ClusterScope, seconds, "time within which 99 % of etcd's writes to its log are on the disk", "cluster:etcd_wal_fsync_seconds:p99"},
	{"etcd_commit_p99_seconds", ClusterScope, seconds, "time within which 99 % of etcd's commits are done", "cluster:etcd_backend_commit_seconds:p99"},
	{"etcd_database_bytes", ClusterScope, byteUnit, "size of etcd's database", "cluster:etcd_db_size_bytes:max"},
	{"scheduler_pending_pods", ClusterScope, count, "pods that wait for a node", "cluster:scheduler_pending_pods:sum"},
	{"controller_queue_length", ClusterScope, count, "objects that wait for a controller of Kubernetes", "cluster:controller_workqueue_depth:sum"},
	{"dns_requests_per_second", ClusterScope, perSecond, "requests to CoreDNS", "cluster:coredns_requests:rate"},
	{"dns_error_ratio", ClusterScope, ratio, "requests that CoreDNS answered with SERVFAIL, as a part of all; none while nobody asks", "cluster:coredns_request_errors:ratio"},
	{"dns_latency_p99_seconds", ClusterScope, seconds, "time within which 99 % of requests to CoreDNS are answered; none while nobody asks", "cluster:coredns_request_duration_seconds:p99"},
}

// AllSeries returns all series in the order in which they are shown.
func AllSeries() []Series { return series }

// FindSeries returns the series of that name.
func FindSeries(name string) (Series, bool) {
	i := slices.IndexFunc(series, func(s Series) bool { return s.Name == name })
	if i < 0 {
		return Series{}, false
	}
	return series[i], true
}
