//go:build e2e

package e2e

import (
	"testing"
	"time"
)

// insidePools has a pool that spreads over the region's zones, one whose Nodes die, and two whose Nodes come and go.
const insidePools = `[{"flavor": "BV4-8-40", "name": "nodepool01", "replicas": 3}, ` + healthJSON + `, ` + demandJSON + `]`

// insideAreas are tested at the same time in one cluster; each keeps to its own namespace.
var insideAreas = []struct {
	name string
	run  func(t *testing.T, c *cluster)
}{
	{"Storage", testStorage},
	{"LoadBalancer", testLoadBalancer},
	{"Policy", testPolicy},
	{"Addons", testAddons},
	{"Monitoring", testMonitoring},
	{"NodeHealth", testNodeHealth},
	{"Demand", testDemand},
	{"IndependentClient", testIndependentClient},
}

// testInside uses what a customer has inside of a cluster: volumes, load balancers, policies, addons.
func testInside(t *testing.T, r *region) {
	c := r.createWith(t, "inside", insidePools)
	c.waitRunning(t)
	c.fetchKubeconfig(t, t.TempDir())
	c.waitNodes(t, 4+healthSize, 3*time.Minute)
	c.waitHealthNodes(t, time.Minute)
	t.Run("Areas", func(t *testing.T) {
		for _, area := range insideAreas {
			t.Run(area.name, func(t *testing.T) {
				t.Parallel()
				area.run(t, c)
			})
		}
	})
	tr := c.record(t)
	r.mustMgc(t, "cluster", "delete", c.id, "--no-confirm", "--delete-volumes")
	c.waitGone(t)
	r.expectNothing(t, tr)
}
