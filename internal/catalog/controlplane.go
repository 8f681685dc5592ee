package catalog

import "math"

// controlPlanes are the flavors of control planes, by the most nodes that each looks after. What 250 and 2,000 nodes take is in
// docs/performance.md.
var controlPlanes = []struct {
	nodes  int64
	flavor string
}{
	{250, "BV2-4-40"},
	{1000, "BV4-16-40"},
	{math.MaxInt64, "BV8-32-40"},
}

// ControlPlaneFlavor is what a new control plane runs on whose cluster may have so many nodes.
func ControlPlaneFlavor(nodes int64) string {
	for _, c := range controlPlanes {
		if nodes <= c.nodes {
			return c.flavor
		}
	}
	panic("the last of controlPlanes has no bound")
}

// GrownControlPlane is the flavor that a control plane of a flavor needs when its cluster may have so many nodes. It never becomes smaller:
// each change replaces the machine.
func GrownControlPlane(flavor string, nodes int64) string {
	needed := ControlPlaneFlavor(nodes)
	has, known := Default().Flavor(flavor)
	if needs, _ := Default().Flavor(needed); !known || has.VCPU >= needs.VCPU && has.RAM >= needs.RAM {
		return flavor
	}
	return needed
}
