package autoscaler

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Options of the autoscaler. Flags have the names and defaults of the Kubernetes project's cluster-autoscaler where they mean the same.
type Options struct {
	Kubeconfig    string
	CloudConfig   string
	AutoDiscovery string
	Address       string
	LogLevel      string

	ScanInterval time.Duration

	Expander           string
	BalanceSimilar     bool
	MaxNodesTotal      int
	CoresTotal         string
	MemoryTotal        string
	NewPodDelay        time.Duration
	ExpendablePriority int
	MaxBinpackingTime  time.Duration
	MaxProvisionTime   time.Duration
	InitialBackoff     time.Duration
	MaxBackoff         time.Duration
	BackoffReset       time.Duration
	MaxUnreadyPercent  float64
	OKUnreadyCount     int
	StartupTaints      []string

	ScaleDownEnabled          bool
	DelayAfterAdd             time.Duration
	DelayAfterDelete          time.Duration
	DelayAfterFailure         time.Duration
	UnneededTime              time.Duration
	UnreadyTime               time.Duration
	UtilizationThreshold      float64
	IgnoreDaemonSets          bool
	RecheckTimeout            time.Duration
	MaxScaleDownParallelism   int
	MaxDrainParallelism       int
	MaxGracefulTermination    int
	MaxPodEvictionTime        time.Duration
	SkipSystemPods            bool
	SkipLocalStorage          bool
	SkipCustomControllerPods  bool
	MinReplicaCount           int
	MaxBulkSoftTaintCount     int
	WriteStatus               bool
	StatusConfigMap           string
	StatusNamespace           string
	LeaderElect               bool
	LeaseDuration             time.Duration
	RenewDeadline             time.Duration
	RetryPeriod               time.Duration
	LeaseName, LeaseNamespace string
}

// newFlagSet returns the flags, with their defaults set in o.
func newFlagSet(o *Options) *pflag.FlagSet {
	f := pflag.NewFlagSet("autoscaler", pflag.ContinueOnError)
	o.addFlags(f)
	return f
}

func (o *Options) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig of the customer cluster")
	f.StringVar(&o.CloudConfig, "cloud-config", "", "kubeconfig of the management cluster; empty in a Pod of it")
	f.StringVar(&o.AutoDiscovery, "node-group-auto-discovery", "", "which MachineDeployments are node groups: clusterapi:namespace=NAMESPACE,clusterName=NAME")
	f.StringVar(&o.Address, "address", ":8085", "address of /metrics and /health-check")
	f.StringVar(&o.LogLevel, "log-level", "info", "debug, info, warn or error")
	f.DurationVar(&o.ScanInterval, "scan-interval", 10*time.Second, "longest time between two looks at the cluster; events are acted on at once")

	f.StringVar(&o.Expander, "expander", "least-waste", "how a group is chosen among those that help, a comma-separated chain of least-waste, random, priority, price")
	f.BoolVar(&o.BalanceSimilar, "balance-similar-node-groups", false, "keep the sizes of similar node groups alike")
	f.IntVar(&o.MaxNodesTotal, "max-nodes-total", 0, "largest number of nodes in all of the cluster; 0 for no limit")
	f.StringVar(&o.CoresTotal, "cores-total", "0:320000", "smallest and largest number of cores in the cluster, MIN:MAX")
	f.StringVar(&o.MemoryTotal, "memory-total", "0:6400000", "smallest and largest memory of the cluster in GiB, MIN:MAX")
	f.DurationVar(&o.NewPodDelay, "new-pod-scale-up-delay", 0, "Pods younger than this do not make nodes")
	f.IntVar(&o.ExpendablePriority, "expendable-pods-priority-cutoff", -10, "Pods of a lower priority neither make nor keep nodes")
	f.DurationVar(&o.MaxBinpackingTime, "max-binpacking-time", 5*time.Minute, "longest time to plan with")
	f.DurationVar(&o.MaxProvisionTime, "max-node-provision-time", 15*time.Minute, "how long a node may take to come up before it is given up")
	f.DurationVar(&o.InitialBackoff, "initial-node-group-backoff-duration", 5*time.Minute, "how long a node group is left alone after its first failure")
	f.DurationVar(&o.MaxBackoff, "max-node-group-backoff-duration", 30*time.Minute, "how long a node group is left alone at most")
	f.DurationVar(&o.BackoffReset, "node-group-backoff-reset-timeout", 3*time.Hour, "after this time without a failure, earlier ones do not count any more")
	f.Float64Var(&o.MaxUnreadyPercent, "max-total-unready-percentage", 45, "share of nodes that are not ready above which nothing is changed")
	f.IntVar(&o.OKUnreadyCount, "ok-total-unready-count", 3, "number of nodes that may be unready whatever their share")
	f.StringSliceVar(&o.StartupTaints, "startup-taint", nil, "key of a taint that a node loses while it starts")

	f.BoolVar(&o.ScaleDownEnabled, "scale-down-enabled", true, "remove nodes that are not needed")
	f.DurationVar(&o.DelayAfterAdd, "scale-down-delay-after-add", 10*time.Minute, "no node is removed for this time after nodes were added")
	f.DurationVar(&o.DelayAfterDelete, "scale-down-delay-after-delete", 0, "no node is removed for this time after one was")
	f.DurationVar(&o.DelayAfterFailure, "scale-down-delay-after-failure", 3*time.Minute, "no node is removed for this time after one could not be")
	f.DurationVar(&o.UnneededTime, "scale-down-unneeded-time", 10*time.Minute, "how long a node must have been unneeded before it is removed")
	f.DurationVar(&o.UnreadyTime, "scale-down-unready-time", 20*time.Minute, "how long a node that is not ready must have been unneeded before it is removed")
	f.Float64Var(&o.UtilizationThreshold, "scale-down-utilization-threshold", 0.5, "share of cpu or memory requested below which a node may be removed")
	f.BoolVar(&o.IgnoreDaemonSets, "ignore-daemonsets-utilization", false, "do not count what DaemonSets request on a node")
	f.DurationVar(&o.RecheckTimeout, "unremovable-node-recheck-timeout", 5*time.Minute, "when a node is tried again that could not be removed")
	f.IntVar(&o.MaxScaleDownParallelism, "max-scale-down-parallelism", 10, "how many nodes are removed at once")
	f.IntVar(&o.MaxScaleDownParallelism, "max-empty-bulk-delete", 10, "older name of --max-scale-down-parallelism")
	f.IntVar(&o.MaxDrainParallelism, "max-drain-parallelism", 1, "how many nodes with Pods are drained at once")
	f.IntVar(&o.MaxGracefulTermination, "max-graceful-termination-sec", 600, "how many seconds Pods get to end when their node is removed")
	f.DurationVar(&o.MaxPodEvictionTime, "max-pod-eviction-time", 2*time.Minute, "how long the eviction of a Pod is tried")
	f.BoolVar(&o.SkipSystemPods, "skip-nodes-with-system-pods", true, "keep nodes with Pods of kube-system that are no DaemonSet's")
	f.BoolVar(&o.SkipLocalStorage, "skip-nodes-with-local-storage", true, "keep nodes with Pods that use emptyDir or hostPath")
	f.BoolVar(&o.SkipCustomControllerPods, "skip-nodes-with-custom-controller-pods", true, "keep nodes with Pods of controllers that are not Kubernetes' own")
	f.IntVar(&o.MinReplicaCount, "min-replica-count", 0, "keep nodes with Pods of a ReplicaSet with fewer replicas")
	f.IntVar(&o.MaxBulkSoftTaintCount, "max-bulk-soft-taint-count", 10, "how many nodes get or lose the taint of candidates in one look; 0 for no such taints")

	f.BoolVar(&o.WriteStatus, "write-status-configmap", true, "write the status ConfigMap")
	f.StringVar(&o.StatusConfigMap, "status-config-map-name", "cluster-autoscaler-status", "name of the status ConfigMap")
	f.StringVar(&o.StatusNamespace, "namespace", "kube-system", "namespace of the status ConfigMap in the customer cluster")
	f.BoolVar(&o.LeaderElect, "leader-elect", true, "act only while holding the lease")
	f.DurationVar(&o.LeaseDuration, "leader-elect-lease-duration", 15*time.Second, "how long others wait for a leader that is not heard of")
	f.DurationVar(&o.RenewDeadline, "leader-elect-renew-deadline", 10*time.Second, "when a leader that cannot renew its lease stops")
	f.DurationVar(&o.RetryPeriod, "leader-elect-retry-period", 2*time.Second, "pause between tries to take or renew the lease")
	f.StringVar(&o.LeaseName, "leader-elect-resource-name", "cluster-autoscaler", "name of the lease")
	f.StringVar(&o.LeaseNamespace, "leader-elect-resource-namespace", "", "namespace of the lease in the management cluster; default: that of the node groups")
}

// discovery parses --node-group-auto-discovery.
func (o *Options) discovery() (namespace, cluster string, err error) {
	kind, rest, _ := strings.Cut(o.AutoDiscovery, ":")
	if kind != "clusterapi" {
		return "", "", fmt.Errorf("--node-group-auto-discovery=%s: it must begin with \"clusterapi:\"", o.AutoDiscovery)
	}
	for part := range strings.SplitSeq(rest, ",") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "namespace":
			namespace = value
		case "clusterName":
			cluster = value
		default:
			return "", "", fmt.Errorf("--node-group-auto-discovery: %q is neither namespace nor clusterName", key)
		}
	}
	if namespace == "" || cluster == "" {
		return "", "", fmt.Errorf("--node-group-auto-discovery=%s: both namespace and clusterName are needed", o.AutoDiscovery)
	}
	return namespace, cluster, nil
}

// upper returns the largest value of a flag MIN:MAX.
func upper(flag, v string) (int64, error) {
	low, high, ok := strings.Cut(v, ":")
	least, err1 := strconv.ParseInt(low, 10, 64)
	most, err2 := strconv.ParseInt(high, 10, 64)
	if !ok || err1 != nil || err2 != nil || least < 0 || most < least {
		return 0, fmt.Errorf("--%s=%s: it must be MIN:MAX, two numbers of which the second is not smaller", flag, v)
	}
	return most, nil
}

// expanders is the chain of --expander.
func (o *Options) expanders() []string {
	var out []string
	for name := range strings.SplitSeq(o.Expander, ",") {
		if name = strings.TrimSpace(name); name != "" {
			out = append(out, name)
		}
	}
	return out
}
