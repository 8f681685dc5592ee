package autoscaler

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// counts of nodes, as the status shows them.
type counts struct {
	total, ready, notStarted, beingDeleted, unready int
	unregistered, longUnregistered                  int
}

// health of the cluster as a whole.
type health struct {
	safe   bool
	counts counts
}

// healthOf counts all nodes, also those of pools that are not autoscaled. When too many are not ready, the cause is rather the
// network or the control plane, and changing the number of nodes would make it worse.
func healthOf(nodes []*corev1.Node, views []view, o Options, now time.Time) health {
	var c counts
	for _, n := range nodes {
		c.add(n, o, now)
	}
	for i := range views {
		c.addMachines(&views[i])
	}
	few := c.unready <= o.OKUnreadyCount || float64(c.unready) <= o.MaxUnreadyPercent/100*float64(c.total)
	return health{safe: few, counts: c}
}

func (c *counts) add(n *corev1.Node, o Options, now time.Time) {
	c.total++
	switch {
	case hasTaint(n, toBeDeletedTaint):
		c.beingDeleted++
	case isReady(n):
		c.ready++
	case now.Sub(n.CreationTimestamp.Time) < o.MaxProvisionTime:
		c.notStarted++
	default:
		c.unready++
	}
}

// addMachines counts machines without a node.
func (c *counts) addMachines(v *view) {
	for _, m := range v.starting {
		if m.node == nil {
			c.unregistered++
		}
	}
	for _, list := range [][]member{v.overdue, v.refused} {
		for _, m := range list {
			if m.node == nil {
				c.longUnregistered++
			}
		}
	}
}

// countsOf a group.
func countsOf(v *view, o Options, now time.Time) counts {
	var c counts
	for _, list := range [][]member{v.ready, v.unready, v.starting, v.overdue, v.leaving} {
		for _, m := range list {
			if m.node != nil {
				c.add(m.node, o, now)
			}
		}
	}
	c.addMachines(v)
	return c
}
