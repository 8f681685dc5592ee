package autoscaler

import (
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	cloudproviderapi "k8s.io/cloud-provider/api"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
)

// neverReadyWithin: a node that lost or never had its readiness this soon after its birth has never worked.
const neverReadyWithin = time.Minute

// member is a machine of a group and its node, if it has one.
type member struct {
	nodegroup.Machine
	node *corev1.Node
}

// view is a group as it is at this moment.
type view struct {
	nodegroup.Group
	ready    []member
	starting []member // their nodes are not there or not ready yet
	unready  []member // were ready once
	refused  []member // the cloud does not make their VMs
	overdue  []member // should have been ready long ago
	leaving  []member // deleted, or the target has been reduced for them
	upcoming int      // nodes asked for that may still come
	tainted  string   // a taint that all its nodes came with although the pool does not declare it
}

// observe sorts each group's machines.
func observe(groups []nodegroup.Group, nodes []*corev1.Node, o Options, now time.Time) []view {
	byName, byID := make(map[string]*corev1.Node, len(nodes)), make(map[string]*corev1.Node, len(nodes))
	for _, n := range nodes {
		byName[n.Name] = n
		if n.Spec.ProviderID != "" {
			byID[n.Spec.ProviderID] = n
		}
	}
	out := make([]view, 0, len(groups))
	for _, g := range groups {
		v := view{Group: g}
		for _, m := range g.Machines {
			node := byName[m.Node]
			if node == nil && m.ProviderID != "" {
				node = byID[m.ProviderID]
			}
			v.sort(member{m, node}, o, now)
		}
		v.upcoming = max(0, v.Target-len(v.ready)-len(v.unready)-len(v.refused)-len(v.overdue))
		out = append(out, v)
	}
	return out
}

func (v *view) sort(m member, o Options, now time.Time) {
	age := now.Sub(m.Created)
	switch {
	case m.Deleting || m.Removed:
		v.leaving = append(v.leaving, m)
	case m.node == nil && m.Failure != "":
		v.refused = append(v.refused, m)
	case m.node == nil && age >= o.MaxProvisionTime:
		v.overdue = append(v.overdue, m)
	case m.node == nil:
		v.starting = append(v.starting, m)
	case hasTaint(m.node, toBeDeletedTaint):
		v.ready = append(v.ready, m)
	case !isReady(m.node) && age < o.MaxProvisionTime:
		v.starting = append(v.starting, m)
	case !isReady(m.node) && neverReady(m.node):
		v.overdue = append(v.overdue, m)
	case !isReady(m.node):
		v.unready = append(v.unready, m)
	default:
		key := v.foreignTaint(m.node, o.StartupTaints)
		switch {
		case key == "":
			v.ready = append(v.ready, m)
		case age < o.MaxProvisionTime:
			v.starting = append(v.starting, m)
		default:
			v.tainted = key
			v.ready = append(v.ready, m)
		}
	}
}

// foreignTaint returns the key of a taint that keeps Pods away and that new nodes of the group are not meant to have.
func (v *view) foreignTaint(n *corev1.Node, startup []string) string {
	if v.Template == nil {
		return ""
	}
	for _, t := range n.Spec.Taints {
		if t.Effect == corev1.TaintEffectPreferNoSchedule || passing(t.Key) {
			continue
		}
		declared := slices.ContainsFunc(v.Template.Spec.Taints, func(d corev1.Taint) bool { return d.MatchTaint(&t) })
		if !declared || slices.Contains(startup, t.Key) {
			return t.Key
		}
	}
	return ""
}

// passing taints say how a node that has started is at the moment, or that a person or drain keeps Pods away from it.
func passing(key string) bool {
	switch key {
	case corev1.TaintNodeUnschedulable, corev1.TaintNodeMemoryPressure, corev1.TaintNodeDiskPressure, corev1.TaintNodePIDPressure,
		corev1.TaintNodeUnreachable, corev1.TaintNodeOutOfService, toBeDeletedTaint, candidateTaint:
		return true
	}
	return false
}

func isReady(n *corev1.Node) bool {
	c := readyCondition(n)
	return c != nil && c.Status == corev1.ConditionTrue && !hasTaint(n, cloudproviderapi.TaintExternalCloudProvider) && !hasTaint(n, clusterv1.NodeUninitializedTaint.Key)
}

func readyCondition(n *corev1.Node) *corev1.NodeCondition {
	for i := range n.Status.Conditions {
		if n.Status.Conditions[i].Type == corev1.NodeReady {
			return &n.Status.Conditions[i]
		}
	}
	return nil
}

func neverReady(n *corev1.Node) bool {
	c := readyCondition(n)
	return c == nil || (c.Status != corev1.ConditionTrue && c.LastTransitionTime.Sub(n.CreationTimestamp.Time) < neverReadyWithin)
}

// owned is a node's group and machine.
type owned struct {
	view   *view
	member *member
}

// owners of the nodes that have started and do not go already.
func owners(views []view) map[string]owned {
	out := map[string]owned{}
	for i := range views {
		for _, list := range [][]member{views[i].ready, views[i].unready} {
			for j := range list {
				out[list[j].node.Name] = owned{&views[i], &list[j]}
			}
		}
	}
	return out
}

// names of machines.
func names(members []member) []string {
	out := make([]string, 0, len(members))
	for _, m := range members {
		out = append(out, m.Name)
	}
	slices.SortFunc(out, strings.Compare)
	return out
}
