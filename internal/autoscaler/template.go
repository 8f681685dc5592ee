package autoscaler

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
)

// templates says what the next nodes of a group will look like: as its newest real node, else as the last one that there was, else
// as the annotations describe it.
type templates struct {
	seen map[string]sample
}

type sample struct {
	declared *corev1.Node // the annotations at that time
	node     *corev1.Node
	csi      *storagev1.CSINode
}

func newTemplates() *templates { return &templates{seen: map[string]sample{}} }

// of returns one node for each zone, in the order in which they will be used.
func (t *templates) of(v *view, all []*corev1.Node, cluster reader) ([]*corev1.Node, *storagev1.CSINode) {
	base, csi := v.Template, v.CSINode
	if real := newest(v.ready); real != nil {
		s := sample{declared: v.Template, node: sanitized(real, v)}
		if found := cluster.CSINode(real.Name); found != nil {
			s.csi = found.DeepCopy()
			s.csi.Name = s.node.Name
		}
		t.seen[v.Name] = s
	}
	if s, ok := t.seen[v.Name]; ok && equality.Semantic.DeepEqual(s.declared, v.Template) {
		base = s.node
		if s.csi != nil {
			csi = s.csi
		}
		if len(v.ready) == 0 && v.Template != nil {
			// Taints that somebody put on nodes that are gone are not expected on new ones.
			base = base.DeepCopy()
			base.Spec.Taints = v.Template.Spec.Taints
		}
	}
	if base == nil {
		return nil, nil
	}
	return inZones(base, v.Zones, all), csi
}

// unknownOffer is why a group that is not known is not planned with.
const unknownOffer = "it is not known what a node of this pool offers"

// known is false for a group of which nothing tells what its next node will be like.
func (t *templates) known(v *view) bool {
	_, seen := t.seen[v.Name]
	return seen || v.Template != nil
}

func newest(members []member) *corev1.Node {
	var out *corev1.Node
	for _, m := range members {
		if hasTaint(m.node, toBeDeletedTaint) || !isReady(m.node) {
			continue
		}
		if out == nil || out.CreationTimestamp.Before(&m.node.CreationTimestamp) {
			out = m.node
		}
	}
	return out
}

// sanitized is a copy of a node without what is its own.
func sanitized(n *corev1.Node, v *view) *corev1.Node {
	name := "template-" + v.Name
	out := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}},
		Status: corev1.NodeStatus{
			Capacity: n.Status.Capacity, Allocatable: n.Status.Allocatable,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
		},
	}
	for k, value := range n.Labels {
		out.Labels[k] = value
	}
	out.Labels[corev1.LabelHostname] = name
	for _, taint := range n.Spec.Taints {
		if !passing(taint.Key) && !strings.HasPrefix(taint.Key, "node.kubernetes.io/") {
			out.Spec.Taints = append(out.Spec.Taints, taint)
		}
	}
	return out
}

// inZones returns the node once per zone. The region's label is that of the cluster's nodes.
func inZones(base *corev1.Node, zones []string, all []*corev1.Node) []*corev1.Node {
	base = base.DeepCopy()
	if base.Labels == nil {
		base.Labels = map[string]string{}
	}
	if base.Labels[corev1.LabelTopologyRegion] == "" {
		i := slices.IndexFunc(all, func(n *corev1.Node) bool { return n.Labels[corev1.LabelTopologyRegion] != "" })
		if i >= 0 {
			base.Labels[corev1.LabelTopologyRegion] = all[i].Labels[corev1.LabelTopologyRegion]
		}
	}
	if len(zones) == 0 {
		return []*corev1.Node{base}
	}
	var out []*corev1.Node
	for _, zone := range zones {
		n := base.DeepCopy()
		n.Labels[corev1.LabelTopologyZone] = zone
		if len(zones) > 1 {
			n.Name += "-" + zone
			n.Labels[corev1.LabelHostname] = n.Name
		}
		out = append(out, n)
	}
	return out
}

var _ groups = (*nodegroup.Provider)(nil)
