package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

const driver = "csi.magalu.cloud"

func storageClass(name string, mode storagev1.VolumeBindingMode, zones ...string) *storagev1.StorageClass {
	class := &storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Provisioner: driver, VolumeBindingMode: &mode}
	if len(zones) > 0 {
		class.AllowedTopologies = []corev1.TopologySelectorTerm{{
			MatchLabelExpressions: []corev1.TopologySelectorLabelRequirement{{Key: zoneLabel, Values: zones}},
		}}
	}
	return class
}

func claim(name, class string, change ...func(*corev1.PersistentVolumeClaim)) *corev1.PersistentVolumeClaim {
	c := &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", UID: types.UID("claim-" + name), ResourceVersion: "1"},
		Spec: corev1.PersistentVolumeClaimSpec{
			StorageClassName: &class, AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("10Gi")}},
		},
		Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func boundTo(volume string) func(*corev1.PersistentVolumeClaim) {
	return func(c *corev1.PersistentVolumeClaim) {
		c.Spec.VolumeName, c.Status.Phase = volume, corev1.ClaimBound
		c.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
	}
}

// volumeIn is a volume that exists in a zone, bound to the claim.
func volumeIn(name, zone, claim string) *corev1.PersistentVolume {
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: driver, VolumeHandle: name}},
			ClaimRef:               &corev1.ObjectReference{Namespace: "default", Name: claim},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: zoneLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{zone}}},
			}}}},
		},
	}
}

// withClaims gives the i-th pod the i-th claim, the last one to all that follow.
func withClaims(all []*corev1.Pod, names ...string) []*corev1.Pod {
	for i, pod := range all {
		name := names[min(i, len(names)-1)]
		withVolume("data", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}})(pod)
	}
	return all
}

func limitedTo(g Group, volumes int32) Group {
	g.CSINode = &storagev1.CSINode{Spec: storagev1.CSINodeSpec{Drivers: []storagev1.CSINodeDriver{{
		Name: driver, TopologyKeys: []string{zoneLabel}, Allocatable: &storagev1.VolumeNodeResources{Count: &volumes},
	}}}}
	return g
}

func TestScaleUpForVolumes(t *testing.T) {
	late, now := storagev1.VolumeBindingWaitForFirstConsumer, storagev1.VolumeBindingImmediate
	zones := []Group{pool("a", 9, inZone("a")), pool("b", 9, inZone("b"))}
	mixed := Group{Name: "mixed", Max: 9, Templates: []*corev1.Node{node("t", 4, 16, inZone("a")), node("t", 4, 16, inZone("b"))}}
	var many []runtime.Object
	var manyNames []string
	for i := range 5 {
		manyNames = append(manyNames, fmt.Sprintf("data-%d", i))
		many = append(many, claim(manyNames[i], "late"))
	}
	tests := []struct {
		name     string
		objects  []runtime.Object
		groups   []Group
		pending  []*corev1.Pod
		increase map[string]int
		refused  string // part of the reasons
	}{
		{
			name:    "a bound volume of zone b makes a node in zone b",
			objects: []runtime.Object{storageClass("late", late), claim("data", "late", boundTo("v1")), volumeIn("v1", "b", "data")},
			groups:  zones, pending: withClaims(pods("db", 1, 100, 64), "data"), increase: map[string]int{"b": 1},
		},
		{
			name:    "an unbound claim of a class for zone b makes a node in zone b",
			objects: []runtime.Object{storageClass("late", late, "b"), claim("data", "late")},
			groups:  zones, pending: withClaims(pods("db", 1, 100, 64), "data"), increase: map[string]int{"b": 1},
		},
		{
			name:    "a pool over zones grows until it reaches that of the volume",
			objects: []runtime.Object{storageClass("late", late), claim("data", "late", boundTo("v1")), volumeIn("v1", "b", "data")},
			groups:  []Group{mixed}, pending: withClaims(pods("db", 1, 100, 64), "data"), increase: map[string]int{"mixed": 2},
		},
		{
			name:    "a volume in a zone without pool is refused",
			objects: []runtime.Object{storageClass("late", late), claim("data", "late", boundTo("v1")), volumeIn("v1", "c", "data")},
			groups:  zones, pending: withClaims(pods("db", 1, 100, 64), "data"), refused: "node(s) didn't match PersistentVolume's node affinity",
		},
		{
			name:    "a claim that is not bound yet and should be is refused",
			objects: []runtime.Object{storageClass("now", now), claim("data", "now")},
			groups:  zones, pending: withClaims(pods("db", 1, 100, 64), "data"), refused: "pod has unbound immediate PersistentVolumeClaims",
		},
		{
			name: "a claim that does not exist is refused", objects: []runtime.Object{storageClass("late", late)},
			groups: zones, pending: withClaims(pods("db", 1, 100, 64), "data"), refused: `persistentvolumeclaim "data" not found`,
		},
		{
			name:    "pods that share an unbound claim get one node",
			objects: []runtime.Object{storageClass("late", late), claim("data", "late")},
			groups:  zones[:1], pending: withClaims(pods("db", 3, 1000, 64), "data"), increase: map[string]int{"a": 1},
		},
		{
			name:    "pods that share an unbound claim and do not fit on one node are refused in part",
			objects: []runtime.Object{storageClass("late", late), claim("data", "late")},
			groups:  zones[:1], pending: withClaims(pods("db", 2, 3000, 64), "data"), increase: map[string]int{"a": 1},
			refused: "node(s) didn't find available persistent volumes to bind",
		},
		{
			name: "a claim for one pod only makes room for one pod",
			objects: []runtime.Object{storageClass("late", late), claim("data", "late", func(c *corev1.PersistentVolumeClaim) {
				c.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOncePod}
			})},
			groups: zones[:1], pending: withClaims(pods("db", 2, 100, 64), "data"), increase: map[string]int{"a": 1}, refused: "ReadWriteOncePod",
		},
		{
			name: "the driver's limit of volumes makes more nodes", objects: append(many, storageClass("late", late)),
			groups: []Group{limitedTo(pool("a", 9, inZone("a")), 2)}, pending: withClaims(pods("db", 5, 100, 64), manyNames...), increase: map[string]int{"a": 3},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlanner(t, Options{}, tt.objects...)
			for range 2 { // the second time shows that nothing stays reserved
				up, err := p.ScaleUp(t.Context(), State{Groups: tt.groups}, tt.pending)
				if err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(up.Increase, tt.increase) {
					t.Errorf("increase is %v, want %v", up.Increase, tt.increase)
				}
				if (len(up.Refused) > 0) != (tt.refused != "") {
					t.Errorf("%d pods are refused, want %q: %v", len(up.Refused), tt.refused, up.Refused[0].Reasons)
				}
				for _, r := range up.Refused {
					if !slices.ContainsFunc(slices.Collect(maps.Values(r.Reasons)), func(s string) bool { return strings.Contains(s, tt.refused) }) {
						t.Errorf("%s is refused for %v, want %q", r.Pod.Name, r.Reasons, tt.refused)
					}
				}
			}
		})
	}
}
