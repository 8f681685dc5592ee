package plan

import (
	"cmp"
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/expander"
	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// scaleUp is one plan in the making.
type scaleUp struct {
	*Planner
	ctx     context.Context
	groups  []*group
	classes []*class // with the pods that have no place yet
	tally   tally
	late    func() bool
	fits    map[*class][]bool // by group: whether a new node of it may take a pod, whatever other pods do
	result  ScaleUp
}

// ScaleUp plans new nodes for all pending pods at once. It takes pods of one controller and of equal spec as one.
func (p *Planner) ScaleUp(ctx context.Context, s State, pending []*corev1.Pod) (ScaleUp, error) {
	up := newScaleUp(ctx, p, pending)
	if len(up.classes) == 0 {
		return up.result, nil
	}
	up.begin(s)
	if err := up.host(); err != nil {
		return ScaleUp{}, err
	}
	up.probe()
	if err := up.expand(); err != nil {
		return ScaleUp{}, err
	}
	up.refuse()
	return up.result, ctx.Err()
}

func newScaleUp(ctx context.Context, p *Planner, pending []*corev1.Pod) *scaleUp {
	return &scaleUp{
		Planner: p, ctx: ctx, late: p.deadline(), classes: classify(p.plannable(pending)), fits: map[*class][]bool{},
		result: ScaleUp{Increase: map[string]int{}, Triggered: map[string][]*corev1.Pod{}},
	}
}

// begin puts the cluster as it will be without a decision into the simulation: nodes that are under way count.
func (up *scaleUp) begin(s State) {
	up.cluster.Reset(s.Nodes, up.present(s.Pods), s.DaemonSets)
	up.tally = newTally(s.Limits, s.Nodes)
	for i, g := range s.Groups {
		grown := newGroup(g, i, s.DaemonSets)
		up.groups = append(up.groups, grown)
		for i := range g.Upcoming {
			if len(grown.templates) > 0 {
				up.tally.add(grown.addNode(up.cluster, i-g.Upcoming).Node())
			}
		}
	}
	// What is scarce goes to important pods first. Of those, ones that need nodes for the sake of other pods come first, since others fill
	// these nodes up; then big ones, which waste least that way.
	slices.SortStableFunc(up.classes, func(a, b *class) int {
		return cmp.Or(cmp.Compare(b.priority, a.priority), alone(a)-alone(b), cmp.Compare(up.size(b), up.size(a)))
	})
}

func alone(c *class) int {
	if c.social {
		return 0
	}
	return 1
}

// size orders pods by what they ask for, a core like 4 GiB.
func (up *scaleUp) size(c *class) int64 {
	if c.size == 0 {
		milliCPU, memory := up.cluster.Begin(up.ctx, c.pods[0]).Requests()
		c.size = 1 + milliCPU + memory*1000/(4<<30)
	}
	return c.size
}

// host finds the pods that wait for the scheduler or for nodes under way, not for new ones.
func (up *scaleUp) host() error {
	for _, c := range up.classes {
		if c.refusal != "" || up.late() {
			continue
		}
		if n := up.cluster.Node(c.pods[0].Status.NominatedNodeName); n != nil {
			// The scheduler makes room there by preemption.
			if err := up.settle(c, n); err != nil {
				return err
			}
			continue
		}
		if c.social && up.cluster.BeginAlone(up.ctx, c.pods[0]).Find(0, up.cluster.Len()) == nil {
			continue
		}
		left, err := fill(up.cluster.Begin(up.ctx, c.pods[0]), c.pods, up.cluster.Len())
		if err != nil {
			return err
		}
		up.result.Waiting = append(up.result.Waiting, c.pods[:len(c.pods)-len(left)]...)
		c.pods = left
	}
	return nil
}

func (up *scaleUp) settle(c *class, n *simulation.Node) error {
	cy := up.cluster.Begin(up.ctx, c.pods[0])
	for _, pod := range c.pods {
		if err := cy.Settle(pod, n); err != nil {
			return err
		}
	}
	up.result.Waiting = append(up.result.Waiting, c.pods...)
	c.pods = nil
	return nil
}

// fill places pods of one cycle on the first of so many nodes and returns those that found no place.
func fill(cy *simulation.Cycle, pods []*corev1.Pod, nodes int) ([]*corev1.Pod, error) {
	at := 0
	for i, pod := range pods {
		n := cy.Find(at, nodes)
		if n == nil && cy.Coupled() {
			n = cy.Find(0, at)
		}
		if n == nil {
			return pods[i:], nil
		}
		if err := cy.Place(pod, n); err != nil {
			return nil, err
		}
		at = n.Index()
	}
	return nil, nil
}

// expand lets groups grow, the best first, until no more pod finds a place that way.
func (up *scaleUp) expand() error {
	all := sets(up.groups, up.opts.BalanceSimilar, slices.ContainsFunc(up.classes, func(c *class) bool { return c.social }))
	for !up.late() {
		all = slices.DeleteFunc(all, func(set set) bool {
			return !slices.ContainsFunc(up.classes, func(c *class) bool { return up.mayHelp(set, c) })
		})
		if len(all) == 1 {
			return up.only(all[0])
		}
		best, err := up.best(all)
		if best == nil || err != nil {
			return err
		}
		if err := best.replay(); err != nil {
			return err
		}
		up.adopt(best)
	}
	return nil
}

// only lets the one set grow that may help: there is nothing to compare it with.
func (up *scaleUp) only(set set) error {
	g := newGrowth(up, set)
	err := g.run()
	up.adopt(g)
	return err
}

// best grows each set, takes it back, and has the expander choose; nil when none helps any pod.
func (up *scaleUp) best(all []set) (*growth, error) {
	var options []expander.Option
	var growths []*growth
	for _, set := range all {
		g, err := up.try(set)
		if err != nil {
			return nil, err
		}
		if g.option.Pods > 0 {
			options, growths = append(options, g.option), append(growths, g)
		}
	}
	if len(options) == 0 {
		return nil, nil
	}
	return growths[up.expander.Best(options)], nil
}

func (up *scaleUp) try(set set) (*growth, error) {
	up.cluster.Fork()
	defer up.cluster.Revert()
	g := newGrowth(up, set)
	return g, g.run()
}

// adopt makes a growth part of the plan.
func (up *scaleUp) adopt(g *growth) {
	up.tally = g.tally
	for c, left := range g.left {
		c.pods = left
	}
	for grown, count := range g.added {
		grown.added += count
		up.result.Increase[grown.Name] = grown.added
	}
	for _, p := range g.placed {
		owner := g.owner[p.node]
		if owner == nil {
			owner = g.set.groups[0] // a present node that only new ones opened to it
		}
		up.result.Triggered[owner.Name] = append(up.result.Triggered[owner.Name], p.pod)
	}
}
