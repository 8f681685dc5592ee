package autoscaler

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/plan"
)

// firstFit is a planner that knows cores and taints only: enough to judge what the runtime makes of plans.
type firstFit struct{}

func (firstFit) ScaleUp(_ context.Context, s plan.State, pending []*corev1.Pod) (plan.ScaleUp, error) {
	out := plan.ScaleUp{Increase: map[string]int{}, Triggered: map[string][]*corev1.Pod{}}
	nodes := slices.Clone(s.Nodes)
	free := freeCores(s.Nodes, s.Pods)
	groups := slices.Clone(s.Groups)
	slices.SortFunc(groups, func(a, b plan.Group) int { return cmp.Or(cmp.Compare(a.Price, b.Price), cmp.Compare(a.Name, b.Name)) })
	made := map[string]string{}
	add := func(g plan.Group, i int) string {
		n := g.Templates[0].DeepCopy()
		n.Name += string(rune('A'+i%26)) + string(rune('A'+i/26))
		nodes = append(nodes, n)
		free[n.Name] = n.Status.Allocatable.Cpu().AsApproximateFloat64()
		return n.Name
	}
	for _, g := range groups {
		for i := range g.Upcoming {
			add(g, i)
		}
	}
	for _, p := range pending {
		if node := firstWithRoom(nodes, free, cores(p)); node != "" {
			free[node] -= cores(p)
			if g := made[node]; g != "" {
				out.Triggered[g] = append(out.Triggered[g], p)
			} else {
				out.Waiting = append(out.Waiting, p)
			}
			continue
		}
		refusal := plan.Refusal{Pod: p, Reasons: map[string]string{}}
		for _, g := range groups {
			if why := refuses(g, out.Increase[g.Name], p); why != "" {
				refusal.Reasons[g.Name] = why
				continue
			}
			node := add(g, g.Upcoming+out.Increase[g.Name])
			out.Increase[g.Name]++
			made[node] = g.Name
			free[node] -= cores(p)
			out.Triggered[g.Name] = append(out.Triggered[g.Name], p)
			refusal.Pod = nil
			break
		}
		if refusal.Pod != nil {
			out.Refused = append(out.Refused, refusal)
		}
	}
	return out, nil
}

func refuses(g plan.Group, increase int, p *corev1.Pod) string {
	switch {
	case g.Blocked != "":
		return g.Blocked
	case g.Size+increase >= g.Max:
		return "max node group size reached"
	case !open(g.Templates[0]):
		return "1 node(s) had untolerated taint(s)"
	case cores(p) > g.Templates[0].Status.Allocatable.Cpu().AsApproximateFloat64():
		return "1 Insufficient cpu"
	}
	return ""
}

func (firstFit) ScaleDown(_ context.Context, s plan.State, candidates []string, opt plan.ScaleDownOptions) (plan.ScaleDown, error) {
	out := plan.ScaleDown{Kept: map[string]plan.KeptReason{}}
	free := freeCores(s.Nodes, s.Pods)
	left := map[string]int{}
	for _, g := range s.Groups {
		left[g.Name] = g.Size - g.Min
	}
	nodes := slices.Clone(s.Nodes)
	for _, name := range candidates {
		i := slices.IndexFunc(nodes, func(n *corev1.Node) bool { return n.Name == name })
		group := s.NodeGroup(name)
		total := nodes[i].Status.Allocatable.Cpu().AsApproximateFloat64()
		used := total - free[name]
		switch {
		case left[group] <= 0:
			out.Kept[name] = plan.KeptReason{Code: "NodeGroupMinSizeReached", Message: "the pool is at its smallest size"}
			continue
		case used/total >= opt.UtilizationThreshold && open(nodes[i]):
			out.Kept[name] = plan.KeptReason{Code: "NotUnderutilized", Message: "it is used"}
			continue
		}
		rest := slices.Delete(slices.Clone(nodes), i, i+1)
		r := plan.Removable{Node: name, Group: group, Utilization: used / total}
		moved := map[string]float64{}
		ok := true
		for _, p := range s.Pods {
			if p.Spec.NodeName != name {
				continue
			}
			to := firstWithRoom(rest, free, cores(p))
			if to == "" {
				ok = false
				break
			}
			free[to] -= cores(p)
			moved[to] += cores(p)
			r.Pods = append(r.Pods, p)
		}
		if !ok {
			for to, c := range moved {
				free[to] += c
			}
			out.Kept[name] = plan.KeptReason{Code: "NoPlaceToMovePods", Message: "its Pods fit nowhere else"}
			continue
		}
		r.Empty = len(r.Pods) == 0
		nodes = rest
		left[group]--
		out.Removable = append(out.Removable, r)
	}
	return out, nil
}

func cores(p *corev1.Pod) float64 {
	return p.Spec.Containers[0].Resources.Requests.Cpu().AsApproximateFloat64()
}

func open(n *corev1.Node) bool {
	return isReady(n) && !n.Spec.Unschedulable && !slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule })
}

func freeCores(nodes []*corev1.Node, pods []*corev1.Pod) map[string]float64 {
	free := map[string]float64{}
	for _, n := range nodes {
		free[n.Name] = n.Status.Allocatable.Cpu().AsApproximateFloat64()
	}
	for _, p := range pods {
		if p.Spec.NodeName != "" {
			free[p.Spec.NodeName] -= cores(p)
		}
	}
	return free
}

func firstWithRoom(nodes []*corev1.Node, free map[string]float64, want float64) string {
	for _, n := range nodes {
		if open(n) && free[n.Name] >= want {
			return n.Name
		}
	}
	return ""
}
