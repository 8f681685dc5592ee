package mkeapi

import (
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// costItems are what a cluster has in the cloud by itself: its machines, and the API server's load balancer with its address. What
// workloads make, such as volumes, only the cloud knows.
func costItems(c *record.Cluster) []price.Item {
	items := []price.Item{
		controlPlaneCost(&c.Cluster),
		{Kind: price.LoadBalancer, Name: c.Name, Quantity: 1},
		{Kind: price.PublicIP, Name: c.Name, Quantity: 1},
	}
	for i := range c.Pools {
		items = append(items, poolCost(&c.Pools[i]))
	}
	return items
}

func controlPlaneCost(c *db.Cluster) price.Item {
	return price.Item{Kind: price.ControlPlane, Name: c.Name, Type: c.ControlPlaneFlavor, Quantity: int64(c.ControlPlaneReplicas)}
}

// poolCost is the cost of the nodes that are wanted now, not of those that autoscaling may make.
func poolCost(p *db.NodePool) price.Item {
	return price.Item{Kind: price.Node, Name: p.Name, Type: p.Flavor, Quantity: int64(p.Nodes())}
}
