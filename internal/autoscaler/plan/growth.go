package plan

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/expander"
	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// growth is bin-packing pods on new nodes of a set of groups.
type growth struct {
	up     *scaleUp
	set    []*group
	start  int // index of the first new node
	tally  tally
	added  map[*group]int
	owner  map[string]*group // of the new nodes
	left   map[*class][]*corev1.Pod
	pods   map[*group][]*corev1.Pod
	option expander.Option
}

func newGrowth(up *scaleUp, set []*group) *growth {
	return &growth{
		up: up, set: set, start: up.cluster.Len(), tally: up.tally, added: map[*group]int{}, owner: map[string]*group{},
		left: map[*class][]*corev1.Pod{}, pods: map[*group][]*corev1.Pod{}, option: expander.Option{Groups: names(set)},
	}
}

func (g *growth) run() error {
	for _, c := range g.up.classes {
		if len(c.pods) == 0 || c.refusal != "" || !slices.ContainsFunc(g.set, func(gr *group) bool { return g.up.mayFit(c, gr) }) {
			continue
		}
		if g.up.late() {
			return nil
		}
		if err := g.pack(c); err != nil {
			return err
		}
	}
	return nil
}

// pack places the pods of a class, each on a new node that has room, else on one more. Where placing one opens other nodes to the next, the
// present ones are asked again, too.
func (g *growth) pack(c *class) error {
	cluster := g.up.cluster
	cy := cluster.Begin(g.up.ctx, c.pods[0])
	if cy.Verdict() != nil {
		return nil
	}
	from := g.start
	if cy.Coupled() {
		from = 0
	}
	at, left := g.start, c.pods
	for len(left) > 0 {
		n := cy.Find(at, cluster.Len())
		if n == nil && cy.Coupled() {
			n = cy.Find(from, at)
		}
		if n == nil {
			var err error
			if n, err = g.grow(c, cy); err != nil {
				return err
			}
		}
		if n == nil {
			break
		}
		if err := cy.Place(left[0], n); err != nil {
			return err
		}
		g.record(cy, left[0], n)
		at, left = n.Index(), left[1:]
	}
	g.left[c] = left
	return nil
}

func (g *growth) record(cy *simulation.Cycle, pod *corev1.Pod, n *simulation.Node) {
	owner := g.owner[n.Name]
	if owner == nil {
		owner = g.set[0] // a present node that only new ones opened to it
	}
	g.pods[owner] = append(g.pods[owner], pod)
	g.option.Pods = append(g.option.Pods, pod)
	milliCPU, memory := cy.Requests()
	g.option.Requested.MilliCPU += milliCPU
	g.option.Requested.Memory += memory
}

// grow adds a node that takes a pod of the class, to the smallest group of the set that can; nil when none can.
func (g *growth) grow(c *class, cy *simulation.Cycle) (*simulation.Node, error) {
	size := func(gr *group) int { return gr.Size + gr.added + g.added[gr] }
	candidates := slices.SortedStableFunc(slices.Values(g.set), func(a, b *group) int { return cmp.Compare(size(a), size(b)) })
	for _, gr := range candidates {
		if !g.up.mayFit(c, gr) || gr.Blocked != "" {
			continue
		}
		n, err := g.growGroup(gr, cy)
		if n != nil || err != nil {
			return n, err
		}
	}
	return nil, nil
}

// growGroup adds nodes to the group until one takes the pod: the provider decides which zone is next, so that nodes in other zones may come
// with it.
func (g *growth) growGroup(gr *group, cy *simulation.Cycle) (*simulation.Node, error) {
	before := g.tally
	var nodes []*simulation.Node
	for range gr.templates {
		i := gr.added + g.added[gr] + len(nodes)
		if gr.Size+i >= gr.Max || g.tally.refuses(gr.template(i).node) != "" {
			break
		}
		n := gr.addNode(g.up.cluster, i)
		nodes = append(nodes, n)
		g.tally.add(n.Node())
		if err := cy.NodeAdded(n); err != nil {
			return nil, err
		}
		if cy.Fits(n) == nil {
			g.keep(gr, nodes)
			return n, nil
		}
	}
	g.tally = before
	for _, n := range slices.Backward(nodes) {
		g.up.cluster.RemoveNode(n)
		cy.Changed()
	}
	return nil, nil
}

func (g *growth) keep(gr *group, nodes []*simulation.Node) {
	first := gr.added + g.added[gr]
	g.added[gr] += len(nodes)
	g.option.Nodes += len(nodes)
	g.option.Price += gr.Price * float64(len(nodes))
	for i, n := range nodes {
		g.owner[n.Name] = gr
		free := gr.template(first + i).free
		g.option.Capacity.MilliCPU += free.MilliCPU
		g.option.Capacity.Memory += free.Memory
	}
}
