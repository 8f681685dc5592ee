package plan

import (
	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// utilization is the larger share of cpu and memory that pods ask for. Pods that the options ignore count neither as used nor as usable.
func utilization(n *simulation.Node, opt ScaleDownOptions) float64 {
	usableCPU, usableMemory := n.Allocatable.MilliCPU, n.Allocatable.Memory
	var cpu, memory int64
	for _, info := range n.Pods {
		pod, request := info.GetPod(), info.CalculateResource().Resource
		ignored := opt.IgnoreDaemonSetsUtilization && ofDaemonSet(pod) || opt.IgnoreMirrorPodsUtilization && mirror(pod)
		if ignored {
			usableCPU -= request.GetMilliCPU()
			usableMemory -= request.GetMemory()
			continue
		}
		cpu += request.GetMilliCPU()
		memory += request.GetMemory()
	}
	return max(share(cpu, usableCPU), share(memory, usableMemory))
}

func share(used, usable int64) float64 {
	if usable <= 0 {
		return 1
	}
	return float64(used) / float64(usable)
}

func mirror(pod *corev1.Pod) bool { return pod.Annotations[corev1.MirrorPodAnnotationKey] != "" }
