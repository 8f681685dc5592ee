package plan

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/scheduler/framework"

	"magalu.cloud/mke/internal/autoscaler/expander"
	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// group is a Group that grows in the plan.
type group struct {
	Group
	index     int // among all groups
	templates []template
	added     int
}

// template is a node to come, with what its DaemonSets put on it.
type template struct {
	node    *corev1.Node
	daemons []*framework.PodInfo
	free    expander.Resources // for other pods
}

func newGroup(g Group, index int, sets []*appsv1.DaemonSet) *group {
	grown := &group{Group: g, index: index}
	for _, node := range g.Templates {
		t := template{node: node, daemons: simulation.DaemonPods(node, sets)}
		t.free = expander.Resources{MilliCPU: node.Status.Allocatable.Cpu().MilliValue(), Memory: node.Status.Allocatable.Memory().Value()}
		for _, daemon := range t.daemons {
			request := daemon.CalculateResource().Resource
			t.free.MilliCPU -= request.GetMilliCPU()
			t.free.Memory -= request.GetMemory()
		}
		grown.templates = append(grown.templates, t)
	}
	return grown
}

// template of the i-th node after those that were asked for already; upcoming ones have negative numbers.
func (g *group) template(i int) *template {
	n := len(g.templates)
	return &g.templates[((i%n)+n)%n]
}

// addNode puts the i-th next node of the group into the cluster.
func (g *group) addNode(c *simulation.Cluster, i int) *simulation.Node {
	t := g.template(i)
	node := *t.node
	node.Name = fmt.Sprintf("%s/%d", g.Name, i) // no real node has a slash in its name
	node.Labels = maps.Clone(t.node.Labels)
	if node.Labels == nil {
		node.Labels = map[string]string{}
	}
	node.Labels[corev1.LabelHostname] = node.Name
	return c.AddNode(&node, t.daemons, g.CSINode)
}

// full says why the group takes no more node for a reason of its own, "" when it does.
func (g *group) full() string {
	switch {
	case g.Blocked != "":
		return g.Blocked
	case g.Size+g.added >= g.Max:
		return "max node group size reached"
	case len(g.templates) == 0:
		return "it is not known what its nodes look like"
	}
	return ""
}

// similar tells whether nodes of both differ only by name and zone.
func similar(a, b *group) bool {
	if len(a.templates) == 0 || len(b.templates) == 0 {
		return false
	}
	x, y := a.templates[0].node, b.templates[0].node
	return sameList(x.Status.Capacity, y.Status.Capacity) && sameList(x.Status.Allocatable, y.Status.Allocatable) &&
		reflect.DeepEqual(shared(a, x), shared(b, y)) && slices.EqualFunc(x.Spec.Taints, y.Spec.Taints, func(t, u corev1.Taint) bool {
		return t.MatchTaint(&u) && t.Value == u.Value
	})
}

// shared are the labels that nodes of similar groups have in common.
func shared(g *group, node *corev1.Node) map[string]string {
	labels := map[string]string{}
	for key, value := range node.Labels {
		zonal := key == corev1.LabelHostname || strings.HasSuffix(key, "/zone") || strings.HasSuffix(key, "/region")
		if !zonal && value != g.Name {
			labels[key] = value
		}
	}
	return labels
}

// A set is groups that grow together.
type set struct {
	groups []*group
	social bool // for pods with wishes about other pods only
}

// sets are what may grow: similar groups together when they are to be balanced, else each alone. Then similar ones also grow together for pods
// that want to be spread over their zones: one group alone takes one such pod before it is the turn of the next.
func sets(groups []*group, balance, social bool) []set {
	var similars []set
	for _, g := range groups {
		i := slices.IndexFunc(similars, func(s set) bool { return similar(s.groups[0], g) })
		if i < 0 {
			similars = append(similars, set{groups: []*group{g}})
		} else {
			similars[i].groups = append(similars[i].groups, g)
		}
	}
	if balance {
		return similars
	}
	var all []set
	for _, g := range groups {
		all = append(all, set{groups: []*group{g}})
	}
	for _, s := range similars {
		if social && len(s.groups) > 1 {
			all = append(all, set{groups: s.groups, social: true})
		}
	}
	return all
}

func (s set) names() []string {
	all := make([]string, len(s.groups))
	for i, g := range s.groups {
		all[i] = g.Name
	}
	return all
}
