// Package autoscaler is the cluster autoscaler: one per customer cluster with an autoscaled node pool.
package autoscaler

import (
	_ "k8s.io/kubernetes/pkg/scheduler/apis/config/latest"
	_ "k8s.io/kubernetes/pkg/scheduler/framework/plugins"
	_ "k8s.io/kubernetes/pkg/scheduler/framework/runtime"
)
