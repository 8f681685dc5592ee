package mkeapi

import (
	"fmt"
	"slices"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
)

const (
	ofAPIServer   = "of the API server"
	kindNodePool  = "NodePool"
	kindNode      = "Node"
	kindCluster   = "Cluster"
	kindPlane     = "ControlPlane"
	kindBalancer  = string(mkev1.LoadBalancerObject)
	kindPublicIP  = string(mkev1.PublicIPObject)
	kindVolume    = string(mkev1.VolumeObject)
	kindSnapshot  = string(mkev1.SnapshotObject)
	lostForGood   = "the data in it is lost"
	stillCosts    = "costs money until it is deleted"
	retainedByTag = "its Service says that it is kept; " + stillCosts
)

// planCluster says what comes, or goes, with a cluster itself and its node pools.
func planCluster(action string, c *record.Cluster) []planChange {
	changes := []planChange{
		{Action: action, Kind: kindCluster, Name: c.Name, Count: 1, Detail: c.Version},
		{Action: action, Kind: kindPlane, Name: c.Name, Count: c.ControlPlaneReplicas, Detail: c.ControlPlaneFlavor},
		{Action: action, Kind: kindBalancer, Name: c.Name, Count: 1, Detail: ofAPIServer},
		{Action: action, Kind: kindPublicIP, Name: c.Name, Count: 1, Detail: ofAPIServer},
	}
	for i := range c.Pools {
		changes = append(changes, planNodePool(action, &c.Pools[i])...)
	}
	return changes
}

func planNodePool(action string, p *db.NodePool) []planChange {
	changes := []planChange{{Action: action, Kind: kindNodePool, Name: p.Name, Count: 1}}
	if n := p.Nodes(); n > 0 {
		changes = append(changes, planChange{Action: action, Kind: kindNode, Name: p.Name, Count: n, Detail: p.Flavor})
	}
	return changes
}

// planClusterUpdate says which change of a cluster has which effect. A new version replaces the control plane's machines; node pools
// keep theirs until they are updated themselves.
func planClusterUpdate(before, after *db.Cluster) (changes []planChange) {
	update := func(field string) {
		changes = append(changes, planChange{Action: planUpdate, Kind: kindCluster, Name: after.Name, Count: 1, Detail: field})
	}
	if before.Description != after.Description {
		update("description")
	}
	if before.DeletionProtection != after.DeletionProtection {
		update(fmt.Sprintf("deletion_protection: %t", after.DeletionProtection))
	}
	if !slices.Equal(before.AllowedCidrs, after.AllowedCidrs) {
		update("allowed_cidrs")
	}
	if before.Version != after.Version {
		changes = append(changes, planReplacedControlPlane(after, "version", before.Version, after.Version))
	}
	return changes
}

func planReplacedControlPlane(c *db.Cluster, field, was, is string) planChange {
	return planChange{Action: planReplace, Kind: kindPlane, Name: c.Name, Count: c.ControlPlaneReplicas, Detail: fmt.Sprintf("%s %s to %s", field, was, is)}
}

// planGrowth says whether node pools, as they will be, need a larger control plane, and what it costs before and after.
func planGrowth(c *db.Cluster, pools []db.NodePool) (changes []planChange, before, after []price.Item) {
	grown := *c
	grown.ControlPlaneFlavor = catalog.GrownControlPlane(c.ControlPlaneFlavor, db.MostNodes(pools))
	if grown.ControlPlaneFlavor == c.ControlPlaneFlavor {
		return nil, nil, nil
	}
	return []planChange{planReplacedControlPlane(c, "flavor", c.ControlPlaneFlavor, grown.ControlPlaneFlavor)},
		[]price.Item{controlPlaneCost(c)}, []price.Item{controlPlaneCost(&grown)}
}

// planNodePoolUpdate says how many nodes come, go and are replaced. A new flavor or version (and with it the image) replaces those
// that stay.
func planNodePoolUpdate(before, after *db.NodePool) (changes []planChange) {
	nodes := func(action string, n int32, detail string) {
		if n > 0 {
			changes = append(changes, planChange{Action: action, Kind: kindNode, Name: after.Name, Count: n, Detail: detail})
		}
	}
	stay := min(before.Nodes(), after.Nodes())
	for _, field := range []struct{ name, was, is string }{
		{"flavor", before.Flavor, after.Flavor}, {"version", before.Version, after.Version}, {"auto_scale", bounds(before), bounds(after)},
	} {
		if field.was != field.is {
			changes = append(changes, planChange{Action: planUpdate, Kind: kindNodePool, Name: after.Name, Count: 1,
				Detail: fmt.Sprintf("%s %s to %s", field.name, field.was, field.is)})
		}
	}
	if before.Flavor != after.Flavor || before.Version != after.Version {
		nodes(planReplace, stay, after.Flavor)
	}
	nodes(planCreate, after.Nodes()-stay, after.Flavor)
	nodes(planDelete, before.Nodes()-stay, before.Flavor)
	return changes
}

func bounds(p *db.NodePool) string {
	if p.MinReplicas == nil || p.MaxReplicas == nil {
		return "off"
	}
	return fmt.Sprintf("%d-%d", *p.MinReplicas, *p.MaxReplicas)
}

// planObjects says what becomes of a cluster's objects in the cloud when it is deleted, and what they cost before and after.
func planObjects(objects []CloudObject, deleteVolumes bool) (changes []planChange, before, after []price.Item) {
	for _, o := range objects {
		change := planChange{Action: planDelete, Kind: o.Kind, Name: o.Name, ID: o.ID, Count: 1, Detail: o.Service}
		isData := o.Kind == kindVolume || o.Kind == kindSnapshot
		switch {
		case isData && deleteVolumes:
			change.Detail = fmt.Sprintf("%d GiB; %s", o.SizeGiB, lostForGood)
		case isData:
			change.Action, change.Detail = planKeep, fmt.Sprintf("%d GiB; %s", o.SizeGiB, stillCosts)
		case o.Retained:
			change.Action, change.Detail = planKeep, retainedByTag
		}
		changes = append(changes, change)
		item := price.Item{Kind: o.Kind, Name: o.Name, Type: o.Type, Quantity: 1}
		switch o.Kind {
		case kindSnapshot:
			continue // has no price
		case kindVolume:
			item.Quantity = int64(o.SizeGiB)
		}
		before = append(before, item)
		if change.Action == planKeep {
			after = append(after, item)
		}
	}
	return changes, before, after
}
