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
	set    set
	start  int // index of the first new node
	tally  tally
	added  map[*group]int
	nodes  []newNode
	placed []placement
	owner  map[string]*group // of the new nodes
	left   map[*class][]*corev1.Pod
	option expander.Option
}

type newNode struct {
	group *group
	i     int
}

type placement struct {
	class *class
	pod   *corev1.Pod
	node  string
}

func newGrowth(up *scaleUp, set set) *growth {
	return &growth{
		up: up, set: set, start: up.cluster.Len(), tally: up.tally, added: map[*group]int{}, owner: map[string]*group{},
		left: map[*class][]*corev1.Pod{}, option: expander.Option{Groups: set.names()},
	}
}

func (g *growth) run() error {
	for _, c := range g.up.classes {
		if !g.up.mayHelp(g.set, c) {
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
		g.placed = append(g.placed, placement{c, left[0], n.Name})
		g.count(cy)
		at, left = n.Index(), left[1:]
	}
	g.left[c] = left
	return nil
}

func (g *growth) count(cy *simulation.Cycle) {
	milliCPU, memory := cy.Requests()
	g.option.Pods++
	g.option.Requested.MilliCPU += milliCPU
	g.option.Requested.Memory += memory
}

// grow adds a node that takes a pod of the class, to the smallest group of the set that can; nil when none can.
func (g *growth) grow(c *class, cy *simulation.Cycle) (*simulation.Node, error) {
	size := func(gr *group) int { return gr.Size + gr.added + g.added[gr] }
	candidates := slices.SortedStableFunc(slices.Values(g.set.groups), func(a, b *group) int { return cmp.Compare(size(a), size(b)) })
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
		g.nodes = append(g.nodes, newNode{gr, first + i})
		g.owner[n.Name] = gr
		free := gr.template(first + i).free
		g.option.Capacity.MilliCPU += free.MilliCPU
		g.option.Capacity.Memory += free.Memory
	}
}

// replay does again what was taken back after it was found to be the best, without asking again whether all pods fit.
func (g *growth) replay() error {
	cluster := g.up.cluster
	for _, n := range g.nodes {
		n.group.addNode(cluster, n.i)
	}
	var cy *simulation.Cycle
	var of *class
	for _, p := range g.placed {
		if p.class != of {
			cy, of = cluster.Begin(g.up.ctx, p.pod), p.class
		}
		if err := cy.Replace(p.pod, cluster.Node(p.node)); err != nil {
			return err
		}
	}
	return nil
}
