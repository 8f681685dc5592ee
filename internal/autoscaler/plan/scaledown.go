package plan

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	fwk "k8s.io/kube-scheduler/framework"

	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// scaleDown is one plan in the making.
type scaleDown struct {
	*Planner
	ctx    context.Context
	state  State
	opt    ScaleDownOptions
	rules  *drainRules
	cycles map[classKey][]*ofClass
	seed   maphash.Seed
	spare  map[string]int // nodes that a group can lose
	homes  map[types.UID]string
	result ScaleDown
}

// ScaleDown plans which of the candidates may go. Empty ones are taken first, the others in the order given.
func (p *Planner) ScaleDown(ctx context.Context, s State, candidates []string, opt ScaleDownOptions) (ScaleDown, error) {
	all, err := newBudgets(s.PDBs)
	if err != nil {
		return ScaleDown{}, err
	}
	down := &scaleDown{
		Planner: p, ctx: ctx, state: s, opt: opt, rules: newDrainRules(opt, all, s.Pods, p.clock.Now()),
		cycles: map[classKey][]*ofClass{}, seed: maphash.MakeSeed(), spare: map[string]int{}, homes: map[types.UID]string{}, result: ScaleDown{Kept: map[string]KeptReason{}},
	}
	for _, g := range s.Groups {
		down.spare[g.Name] = g.Size - g.Min
	}
	if err := down.begin(candidates); err != nil {
		return ScaleDown{}, err
	}
	eligible := down.eligible(candidates)
	slices.SortStableFunc(eligible, func(a, b Removable) int { return emptyFirst(a) - emptyFirst(b) })
	for _, r := range eligible {
		if err := ctx.Err(); err != nil {
			return ScaleDown{}, err
		}
		if err := down.consider(r); err != nil {
			return ScaleDown{}, err
		}
	}
	p.homes = down.homes
	return down.result, nil
}

func emptyFirst(r Removable) int {
	if r.Empty {
		return 0
	}
	return 1
}

// begin puts the cluster into the simulation with pending pods where they fit: room that is promised to them is not given twice. Pods are moved
// to the first node that takes them: nodes that stay come first and the next candidate last, so that few are moved twice.
func (d *scaleDown) begin(candidates []string) error {
	turn := make(map[string]int, len(candidates))
	for i, name := range candidates {
		turn[name] = len(candidates) - i
	}
	s := d.state
	s.Nodes = slices.Clone(s.Nodes)
	slices.SortStableFunc(s.Nodes, func(a, b *corev1.Node) int { return cmp.Compare(turn[a.Name], turn[b.Name]) })
	up := newScaleUp(d.ctx, d.Planner, d.state.Pods)
	up.begin(s)
	if err := up.host(); err != nil {
		return err
	}
	for _, n := range slices.Backward(d.cluster.Nodes()[len(s.Nodes):]) {
		d.cluster.RemoveNode(n) // under way: good for pending pods, not for ones that run
	}
	d.cluster.Record()
	return nil
}

// ofClass is a cycle for pods that are all like this one.
type ofClass struct {
	pod   *corev1.Pod
	cycle *simulation.Cycle
}

// cycle is the one of the pod's class: begun with its first pod, it goes on through the whole plan, so that not each of thousands of spread
// pods has all the others looked at.
func (d *scaleDown) cycle(pod *corev1.Pod) *simulation.Cycle {
	key := keyOf(pod, d.seed)
	for _, c := range d.cycles[key] {
		if same(c.pod, pod) {
			return c.cycle
		}
	}
	c := &ofClass{pod, d.cluster.BeginKept(d.ctx, pod)}
	d.cycles[key] = append(d.cycles[key], c)
	return c.cycle
}

// eligible are the candidates that may go as far as that is seen from each alone.
func (d *scaleDown) eligible(candidates []string) []Removable {
	var found []Removable
	for _, name := range candidates {
		n := d.cluster.Node(name)
		if n == nil {
			continue
		}
		r := Removable{Node: name, Group: d.state.NodeGroup(name), Utilization: utilization(n, d.opt), Empty: true}
		kept := d.keep(n, r)
		for _, info := range n.Pods {
			pod := info.GetPod()
			if d.rules.stays(pod) {
				continue
			}
			r.Empty = false
			if pod.Spec.NodeName != name {
				continue // a pending one that may come here
			}
			r.Pods = append(r.Pods, pod)
		}
		slices.SortFunc(r.Pods, byName)
		for _, pod := range r.Pods {
			if why := d.rules.blocks(pod); why != "" && kept.Code == "" {
				kept = KeptReason{BlockedByPod, why}
			}
		}
		if kept.Code != "" {
			d.result.Kept[name] = kept
			continue
		}
		found = append(found, r)
	}
	return found
}

// byName is an order in which the same pods give the same reason each time: watches keep them in none.
func byName(a, b *corev1.Pod) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

func (d *scaleDown) keep(n *simulation.Node, r Removable) KeptReason {
	_, autoscaled := d.spare[r.Group]
	switch {
	case !autoscaled:
		return KeptReason{NotAutoscaled, "the node is in no pool that is scaled"}
	case n.NodeInfo.Node().Annotations[scaleDownDisabled] == "true":
		return KeptReason{ScaleDownDisabledAnnotation, "the node is annotated " + scaleDownDisabled + "=true"}
	case r.Utilization >= d.opt.UtilizationThreshold:
		return KeptReason{NotUnderutilized, fmt.Sprintf("%.0f %% of the node is requested, not less than %.0f %%",
			100*r.Utilization, 100*d.opt.UtilizationThreshold)}
	}
	return KeptReason{}
}

// consider takes the node out when its pods find other places, within the group's minimum and the budgets.
func (d *scaleDown) consider(r Removable) error {
	if d.spare[r.Group] <= 0 {
		d.result.Kept[r.Node] = KeptReason{NodeGroupMinSizeReached, fmt.Sprintf("pool %s would have fewer nodes than its minimum", r.Group)}
		return nil
	}
	if why := d.rules.budgets.refuses(r.Pods); why != "" {
		d.result.Kept[r.Node] = KeptReason{BlockedByPod, why}
		return nil
	}
	d.cluster.Fork()
	homes, why, err := d.empty(d.cluster.Node(r.Node))
	if err != nil || why != "" {
		d.cluster.Revert()
		d.result.Kept[r.Node] = KeptReason{NoPlaceToMovePods, why}
		return err
	}
	d.cluster.Commit()
	maps.Copy(d.homes, homes)
	d.spare[r.Group]--
	d.rules.budgets.spend(r.Pods)
	d.result.Removable = append(d.result.Removable, r)
	return nil
}

// empty moves the pods of the node to others, returns where they went, and says which found no place. Pods that were moved here before move
// once more.
func (d *scaleDown) empty(n *simulation.Node) (homes map[types.UID]string, why string, err error) {
	d.cluster.RemoveNode(n)
	homes = map[types.UID]string{}
	moving := slices.Clone(n.Pods)
	slices.SortStableFunc(moving, func(a, b fwk.PodInfo) int { return cmp.Compare(priority(b.GetPod()), priority(a.GetPod())) })
	for _, info := range moving {
		pod := info.GetPod()
		if d.rules.stays(pod) {
			continue
		}
		cy := d.cycle(pod)
		home := d.cluster.Node(d.Planner.homes[pod.UID])
		if home == nil || cy.Fits(home) != nil {
			home = cy.Find(0, d.cluster.Len())
		}
		if home == nil {
			return nil, fmt.Sprintf("pod %s/%s fits on no other node", pod.Namespace, pod.Name), nil
		}
		if err := cy.Place(pod, home); err != nil {
			return nil, "", err
		}
		homes[pod.UID] = home.Name
	}
	return homes, "", nil
}
