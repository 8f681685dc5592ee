package simulation

import (
	"math"

	corev1 "k8s.io/api/core/v1"
)

// absent is the count of a domain that the plugin does not know.
const absent = -1

// keep prepares for counts that fall. False tells that the constraints are not those of the pod.
func (s *spread) keep(pod *corev1.Pod) bool {
	var keys []string
	for _, c := range pod.Spec.TopologySpreadConstraints {
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			keys = append(keys, c.TopologyKey)
		}
	}
	if len(keys) != len(s.constraints) {
		return false
	}
	for i := range s.constraints {
		c := &s.constraints[i]
		c.key, c.nodes, c.tally, c.least = keys[i], map[string]int{}, map[int]int{}, 0
		for _, count := range c.counts {
			c.tally[count]++
		}
	}
	return true
}

// countsAt are the counts of the node's domains.
func (s *spread) countsAt(node *corev1.Node) []int {
	counts := make([]int, len(s.constraints))
	for i := range s.constraints {
		c := &s.constraints[i]
		var ok bool
		if counts[i], ok = c.counts[node.Labels[c.key]]; !ok {
			counts[i] = absent
		}
	}
	return counts
}

// countsChanged is told of what they were.
func (s *spread) countsChanged(node *corev1.Node, before []int) {
	now := s.countsAt(node)
	for i := range s.constraints {
		s.constraints[i].move(before[i], now[i])
	}
}

// forget drops domains that the plugin did not know before it was asked about the node, and puts the real minimum back.
func (s *spread) forget(node *corev1.Node, before []int) {
	for i := range s.constraints {
		c := &s.constraints[i]
		if before[i] == absent {
			delete(c.counts, node.Labels[c.key])
		}
		c.showLeast()
	}
}

// addNode counts a node that came, or with a negative sign one that went. A domain is known as long as it has one.
func (c *spreadConstraint) addNode(node *corev1.Node, sign int) {
	domain := node.Labels[c.key]
	c.nodes[domain] += sign
	switch {
	case sign > 0 && c.nodes[domain] == 1:
		c.counts[domain] = 0
		c.move(absent, 0)
	case c.nodes[domain] == 0:
		c.move(c.counts[domain], absent)
		delete(c.counts, domain)
		delete(c.nodes, domain)
	}
}

// move takes a domain from one count to another.
func (c *spreadConstraint) move(from, to int) {
	if from != absent {
		if c.tally[from]--; c.tally[from] == 0 {
			delete(c.tally, from)
		}
	}
	if to != absent {
		c.tally[to]++
		c.least = min(c.least, to)
	}
	c.showLeast()
}

// showLeast puts the real minimum where the plugin looks for it.
func (c *spreadConstraint) showLeast() {
	least := math.MaxInt32
	if len(c.tally) > 0 {
		for c.tally[c.least] == 0 {
			c.least++
		}
		least = c.least
	}
	for i, count := range []int{least, math.MaxInt32} {
		c.paths.Index(i).FieldByName("TopologyValue").SetString("")
		c.paths.Index(i).FieldByName("MatchNum").SetInt(int64(count))
	}
}
