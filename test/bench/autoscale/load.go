package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"magalu.cloud/mke/internal/autoscaler/plan"
)

const (
	perApp = 100 // pods of a Deployment
	onNode = 10  // pods on each present node
)

var zones = []string{"a", "b", "c"}

// load is a cluster of full nodes in three zones, four pools (one per zone, one tainted), and pods of Deployments that wait: of ten, seven are
// plain ones of different sizes, one is spread over zones, one is kept apart by host, one is for the tainted pool.
func load(pods, nodes int) (plan.State, []*corev1.Pod) {
	s := plan.State{NodeGroup: func(string) string { return "" }}
	for i := range nodes {
		n := node(fmt.Sprintf("node-%d", i), zones[i%len(zones)])
		s.Nodes = append(s.Nodes, n)
		for j := range onNode {
			pod := pod(fmt.Sprintf("present-%d", j), i, 780, 3000)
			pod.Spec.NodeName, pod.Status.Phase = n.Name, corev1.PodRunning
			s.Pods = append(s.Pods, pod)
		}
	}
	for _, zone := range zones {
		s.Groups = append(s.Groups, plan.Group{Name: "pool-" + zone, Max: 20_000, Templates: []*corev1.Node{node("template", zone)}})
	}
	tainted := node("template", "a")
	tainted.Spec.Taints = []corev1.Taint{{Key: "batch", Effect: corev1.TaintEffectNoSchedule}}
	s.Groups = append(s.Groups, plan.Group{Name: "pool-batch", Max: 20_000, Templates: []*corev1.Node{tainted}})

	pending := make([]*corev1.Pod, 0, pods)
	for i := range pods {
		pending = append(pending, waiting(i/perApp, i%perApp))
	}
	s.Pods = append(s.Pods, pending...)
	return s, pending
}

func waiting(app, i int) *corev1.Pod {
	p := pod(fmt.Sprintf("app-%d", app), i, int64(100+50*(app%7)), int64(128+128*(app%5)))
	selector := &metav1.LabelSelector{MatchLabels: p.Labels}
	switch app % 10 {
	case 7:
		p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
			MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: selector,
		}}
	case 8:
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: corev1.LabelHostname, LabelSelector: selector}},
		}}
	case 9:
		p.Spec.Tolerations = []corev1.Toleration{{Key: "batch", Operator: corev1.TolerationOpExists}}
	}
	return p
}

func node(name, zone string) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("8"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: zone}},
		Status:     corev1.NodeStatus{Capacity: room, Allocatable: room},
	}
}

func pod(app string, i int, milliCPU, mib int64) *corev1.Pod {
	name, controller := fmt.Sprintf("%s-%d", app, i), true
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID(name), Labels: map[string]string{"app": app, "pod-template-hash": "7c5ddbdf54"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app, UID: types.UID(app), Controller: &controller}},
		},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "kube-api-access-" + name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}}},
			Containers: []corev1.Container{{Name: app, Image: "registry/app:1", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
				corev1.ResourceCPU:    *resource.NewMilliQuantity(milliCPU, resource.DecimalSI),
				corev1.ResourceMemory: *resource.NewQuantity(mib<<20, resource.BinarySI),
			}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}
