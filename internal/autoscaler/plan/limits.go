package plan

import corev1 "k8s.io/api/core/v1"

// tally is how much of the limits is used.
type tally struct {
	limits             Limits
	nodes              int
	milliCPU, memBytes int64
}

func newTally(limits Limits, nodes []*corev1.Node) tally {
	t := tally{limits: limits}
	for _, node := range nodes {
		t.add(node)
	}
	return t
}

func (t *tally) add(node *corev1.Node) {
	t.nodes++
	t.milliCPU += node.Status.Capacity.Cpu().MilliValue()
	t.memBytes += node.Status.Capacity.Memory().Value()
}

// refuses says which limit another node like this one would break, "" when none.
func (t tally) refuses(node *corev1.Node) string {
	t.add(node)
	switch {
	case t.limits.MaxNodesTotal > 0 && t.nodes > t.limits.MaxNodesTotal:
		return "max total nodes in cluster reached"
	case t.limits.MaxCores > 0 && t.milliCPU > t.limits.MaxCores*1000:
		return "max cluster cpu limit reached"
	case t.limits.MaxMemoryGiB > 0 && t.memBytes > t.limits.MaxMemoryGiB<<30:
		return "max cluster memory limit reached"
	}
	return ""
}
