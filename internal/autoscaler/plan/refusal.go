package plan

import (
	"fmt"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// probe asks once for each class and group whether a new node may take a pod.
func (up *scaleUp) probe() {
	up.cluster.Fork()
	defer up.cluster.Revert()
	nodes := make([][]*simulation.Node, len(up.groups))
	for i, g := range up.groups {
		nodes[i] = g.samples(up.cluster)
	}
	for _, c := range up.classes {
		if len(c.pods) == 0 || c.refusal != "" || up.late() {
			continue
		}
		cy := up.cluster.BeginAlone(up.ctx, c.pods[0])
		up.fits[c] = make([]bool, len(up.groups))
		for i := range up.groups {
			up.fits[c][i] = slices.ContainsFunc(nodes[i], func(n *simulation.Node) bool { return cy.Fits(n) == nil })
		}
	}
}

// samples puts a next node of each zone into the cluster.
func (g *group) samples(c *simulation.Cluster) []*simulation.Node {
	var nodes []*simulation.Node
	for i := range g.templates {
		nodes = append(nodes, g.addNode(c, g.added+i))
	}
	return nodes
}

// mayFit is false when no new node of the group takes pods of the class, whatever else happens.
func (up *scaleUp) mayFit(c *class, g *group) bool {
	fits := up.fits[c]
	return fits != nil && fits[g.index]
}

// mayHelp is false when growing the set does nothing for pods of the class.
func (up *scaleUp) mayHelp(set set, c *class) bool {
	return len(c.pods) > 0 && (c.social || !set.social) && slices.ContainsFunc(set.groups, func(g *group) bool { return g.full() == "" && up.mayFit(c, g) })
}

// refuse says of each pod that is left why each group does not help it.
func (up *scaleUp) refuse() {
	for _, c := range up.classes {
		if len(c.pods) == 0 || up.late() {
			continue
		}
		reasons := up.reasons(c)
		for _, pod := range c.pods {
			up.result.Refused = append(up.result.Refused, Refusal{Pod: pod, Reasons: reasons})
		}
	}
}

func (up *scaleUp) reasons(c *class) map[string]string {
	reasons := make(map[string]string, len(up.groups))
	for _, g := range up.groups {
		reasons[g.Name] = c.refusal
		if c.refusal == "" {
			reasons[g.Name] = up.reason(c, g)
		}
	}
	return reasons
}

// reason is the scheduler's when a new node would not take the pod, else what keeps the group from growing.
func (up *scaleUp) reason(c *class, g *group) string {
	up.cluster.Fork()
	defer up.cluster.Revert()
	nodes := g.samples(up.cluster)
	if len(nodes) == 0 {
		return g.full()
	}
	begin := up.cluster.Begin
	if !up.mayFit(c, g) {
		begin = up.cluster.BeginAlone
	}
	cy := begin(up.ctx, c.pods[0])
	if verdict := cy.Verdict(); verdict != nil {
		return simulation.Reasons(verdict)
	}
	counts := map[string]int{}
	for _, n := range nodes {
		status := cy.Fits(n)
		if status == nil {
			return up.noGrowth(g)
		}
		for _, reason := range status.Reasons() {
			counts[reason]++
		}
	}
	return histogram(counts)
}

func (up *scaleUp) noGrowth(g *group) string {
	if why := g.full(); why != "" {
		return why
	}
	for i := range g.templates {
		if why := up.tally.refuses(g.template(g.added + i).node); why != "" {
			return why
		}
	}
	return "a new node alone does not help"
}

// histogram is in the words of the scheduler's own events: "2 Insufficient cpu, 1 node(s) had untolerated taint(s)".
func histogram(counts map[string]int) string {
	var lines []string
	for reason, count := range counts {
		lines = append(lines, fmt.Sprintf("%d %s", count, reason))
	}
	slices.Sort(lines)
	return strings.Join(lines, ", ")
}
