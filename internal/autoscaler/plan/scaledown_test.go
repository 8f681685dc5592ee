package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// upstreamDefaults of the rules for scale-down.
var upstreamDefaults = ScaleDownOptions{
	UtilizationThreshold: 0.5, SkipNodesWithSystemPods: true, SkipNodesWithLocalStorage: true, SkipNodesWithCustomControllerPods: true,
}

func annotated(key, value string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { metav1.SetMetaDataAnnotation(&p.ObjectMeta, key, value) }
}

func ownedBy(kind string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.OwnerReferences[0].Kind = kind }
}

func bare(p *corev1.Pod) { p.OwnerReferences = nil }

func inKubeSystem(p *corev1.Pod) { p.Namespace = metav1.NamespaceSystem }

func withVolume(name string, source corev1.VolumeSource) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: source})
	}
}

func ready(p *corev1.Pod) {
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
}

func budgetFor(app, namespace string, allowed int32) *policyv1.PodDisruptionBudget {
	one := intstr.FromInt32(1)
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: app + "-budget", Namespace: namespace},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &one, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
	}
}

// three nodes of 4 cores: "free" belongs to no pool and has room for 4 pods of one core, a1 and a2 are the candidates.
func three(pods ...[]*corev1.Pod) State {
	return State{
		Nodes:  []*corev1.Node{node("a1", 4, 16), node("a2", 4, 16), node("free", 4, 16)},
		Pods:   slices.Concat(pods...),
		Groups: []Group{{Name: "a", Size: 2, Max: 9, Templates: pool("a", 9).Templates}},
		NodeGroup: func(node string) string {
			return strings.TrimRight(node, "0123456789")
		},
	}
}

func TestScaleDown(t *testing.T) {
	web := func(change ...func(*corev1.Pod)) []*corev1.Pod {
		return pods("web", 1, 1000, 64, append(change, on("a1"), ready)...)
	}
	with := func(s State, change func(*State)) State { change(&s); return s }
	tests := []struct {
		name    string
		state   State
		opt     func(*ScaleDownOptions)
		goes    []string
		kept    map[string]string // codes
		message string            // part of that of a1
	}{
		{name: "empty nodes go in bulk", state: three(), goes: []string{"a1", "a2"}},
		{name: "a node goes when its pods fit elsewhere", state: three(web()), goes: []string{"a2", "a1"}},
		{
			name:  "pods of DaemonSets, mirror and finished pods do not keep a node",
			state: three(web(ownedBy("DaemonSet")), pods("m", 1, 1, 1, bare, annotated(corev1.MirrorPodAnnotationKey, "x"), on("a1")), pods("d", 1, 1, 1, on("a1"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded })),
			goes:  []string{"a1", "a2"},
		},
		{
			name:  "a used node stays",
			state: three(pods("web", 2, 1000, 64, on("a1"))), goes: []string{"a2"}, kept: map[string]string{"a1": NotUnderutilized}, message: "50 %",
		},
		{
			name:  "DaemonSets count as use",
			state: three(pods("agent", 1, 2000, 64, on("a1"), ownedBy("DaemonSet"))), goes: []string{"a2"}, kept: map[string]string{"a1": NotUnderutilized},
		},
		{
			name:  "DaemonSets do not count as use when they are ignored",
			state: three(pods("agent", 1, 2000, 64, on("a1"), ownedBy("DaemonSet"))), goes: []string{"a1", "a2"},
			opt: func(o *ScaleDownOptions) { o.IgnoreDaemonSetsUtilization = true },
		},
		{
			name:  "what DaemonSets take is no room either when they are ignored",
			state: three(pods("agent", 1, 2000, 64, on("a1"), ownedBy("DaemonSet")), web()), goes: []string{"a2"},
			kept: map[string]string{"a1": NotUnderutilized}, opt: func(o *ScaleDownOptions) { o.IgnoreDaemonSetsUtilization = true },
		},
		{
			name:  "a node stays when its pods fit nowhere else",
			state: three(web(), pods("db", 4, 1000, 64, on("free"))), goes: []string{"a2"}, kept: map[string]string{"a1": NoPlaceToMovePods}, message: "default/web-0",
		},
		{
			name:  "the last node with room for pods is not taken with the others",
			state: three(web(), pods("api", 1, 1000, 64, on("a2")), pods("db", 4, 1000, 64, on("free"))), goes: []string{"a1"}, kept: map[string]string{"a2": NoPlaceToMovePods},
		},
		{
			name:  "room that pending pods will take is not given to moved ones",
			state: three(web(), pods("next", 7, 1000, 64), pods("api", 1, 1000, 64, on("a2"))), kept: map[string]string{"a1": NoPlaceToMovePods, "a2": NotUnderutilized},
		},
		{
			name:  "the minimum of the pool holds",
			state: with(three(), func(s *State) { s.Groups[0].Min = 1 }), goes: []string{"a1"}, kept: map[string]string{"a2": NodeGroupMinSizeReached},
		},
		{
			name:  "nodes of no pool stay",
			state: with(three(), func(s *State) { s.Groups[0].Name = "b" }), kept: map[string]string{"a1": NotAutoscaled, "a2": NotAutoscaled},
		},
		{
			name:  "an annotated node stays",
			state: with(three(), func(s *State) { s.Nodes[0].Annotations = map[string]string{scaleDownDisabled: "true"} }),
			goes:  []string{"a2"}, kept: map[string]string{"a1": ScaleDownDisabledAnnotation},
		},
		{
			name: "a budget keeps a node", state: with(three(web()), func(s *State) {
				s.PDBs = []*policyv1.PodDisruptionBudget{budgetFor("web", "default", 0)}
			}),
			goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "default/web-budget",
		},
		{
			name: "a budget is spent once", state: with(three(web(), pods("web2", 1, 1000, 64, on("a2"), ready, func(p *corev1.Pod) { p.Labels["app"] = "web" })), func(s *State) {
				s.PDBs = []*policyv1.PodDisruptionBudget{budgetFor("web", "default", 1)}
			}),
			goes: []string{"a1"}, kept: map[string]string{"a2": BlockedByPod},
		},
		{
			name: "a budget that lets pods go one by one does not keep a node with two", state: with(three(pods("web", 2, 900, 64, on("a1"), ready)), func(s *State) {
				s.PDBs = []*policyv1.PodDisruptionBudget{budgetFor("web", "default", 1)}
			}),
			goes: []string{"a2", "a1"},
		},
		{
			name: "a budget does not protect pods that are unhealthy anyway when it says so", state: with(three(web()), func(s *State) {
				s.Pods[0].Status.Conditions = nil
				budget := budgetFor("web", "default", 0)
				always := policyv1.AlwaysAllow
				budget.Spec.UnhealthyPodEvictionPolicy = &always
				s.PDBs = []*policyv1.PodDisruptionBudget{budget}
			}),
			goes: []string{"a2", "a1"},
		},
		{
			name: "a pod with two budgets cannot be evicted", state: with(three(web()), func(s *State) {
				s.PDBs = []*policyv1.PodDisruptionBudget{budgetFor("web", "default", 1), budgetFor("web", "default", 1)}
			}),
			goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "several",
		},
		{
			name: "a pod that is not safe to evict keeps its node", state: three(web(annotated(safeToEvict, "false"))),
			goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "default/web-0 is annotated",
		},
		{name: "a pod without controller keeps its node", state: three(web(bare)), goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "no controller"},
		{name: "a pod without controller that is safe to evict does not", state: three(web(bare, annotated(safeToEvict, "true"))), goes: []string{"a2", "a1"}},
		{name: "a pod of an unknown controller keeps its node", state: three(web(ownedBy("Thing"))), goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "Thing"},
		{
			name: "a pod of an unknown controller is moved when that is allowed", state: three(web(ownedBy("Thing"))), goes: []string{"a2", "a1"},
			opt: func(o *ScaleDownOptions) { o.SkipNodesWithCustomControllerPods = false },
		},
		{name: "a system pod keeps its node", state: three(web(inKubeSystem)), goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "kube-system"},
		{
			name: "a system pod with a budget is moved", state: with(three(web(inKubeSystem)), func(s *State) {
				s.PDBs = []*policyv1.PodDisruptionBudget{budgetFor("web", metav1.NamespaceSystem, 1)}
			}),
			goes: []string{"a2", "a1"},
		},
		{
			name: "local storage keeps a node", state: three(web(withVolume("data", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))),
			goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "volume data",
		},
		{
			name:  "local storage that may be lost does not keep a node",
			state: three(web(withVolume("data", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}), annotated(safeToEvictLocalVolumes, "tmp, data"))),
			goes:  []string{"a2", "a1"},
		},
		{
			name: "memory is no local storage", goes: []string{"a2", "a1"},
			state: three(web(withVolume("data", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}))),
		},
		{
			name: "too few replicas keep a node", state: three(web()), goes: []string{"a2"}, kept: map[string]string{"a1": BlockedByPod}, message: "one of 1 replicas",
			opt: func(o *ScaleDownOptions) { o.MinReplicaCount = 2 },
		},
		{
			name: "a pod that should long be gone does not keep a node", goes: []string{"a1", "a2"},
			state: three(web(bare, func(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Now().Add(-time.Hour)} })),
		},
		{
			name: "anti-affinity is kept when pods move", goes: []string{"a2"}, kept: map[string]string{"a1": NoPlaceToMovePods},
			state: three(web(apart(corev1.LabelHostname)), pods("web2", 1, 10, 64, on("free"), func(p *corev1.Pod) { p.Labels["app"] = "web" })),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			opt := upstreamDefaults
			if tt.opt != nil {
				tt.opt(&opt)
			}
			down, err := newPlanner(t, Options{}).ScaleDown(t.Context(), tt.state, []string{"a1", "a2"}, opt)
			if err != nil {
				t.Fatal(err)
			}
			var goes []string
			for _, r := range down.Removable {
				goes = append(goes, r.Node)
			}
			if !slices.Equal(goes, tt.goes) {
				t.Errorf("%v go, want %v; kept: %v", goes, tt.goes, down.Kept)
			}
			if len(down.Kept) != len(tt.kept) {
				t.Errorf("kept: %v, want %v", down.Kept, tt.kept)
			}
			for node, code := range tt.kept {
				if down.Kept[node].Code != code || node == "a1" && !strings.Contains(down.Kept[node].Message, tt.message) {
					t.Errorf("%s is kept for %v, want %s %q", node, down.Kept[node], code, tt.message)
				}
			}
		})
	}
}

func TestScaleDownNamesThePodsToMove(t *testing.T) {
	s := three(pods("web", 1, 1000, 64, on("a1")), pods("agent", 1, 100, 64, on("a1"), ownedBy("DaemonSet")))
	s.DaemonSets = []*appsv1.DaemonSet{daemonSet("logs", 100, 64)}
	down, err := newPlanner(t, Options{}).ScaleDown(t.Context(), s, []string{"a1"}, upstreamDefaults)
	if err != nil {
		t.Fatal(err)
	}
	if len(down.Removable) != 1 {
		t.Fatalf("a1 stays: %v", down.Kept)
	}
	r := down.Removable[0]
	if r.Empty || r.Group != "a" || len(r.Pods) != 1 || r.Pods[0].Name != "web-0" || r.Utilization != 0.3 {
		t.Errorf("a1 goes as %s empty=%t used %g with %d pods", r.Group, r.Empty, r.Utilization, len(r.Pods))
	}
}

func TestScaleDownFindsTheSamePlacesAgain(t *testing.T) {
	s := three(pods("web", 2, 900, 64, on("a1")))
	p := newPlanner(t, Options{})
	var homes []string
	for range 2 {
		down, err := p.ScaleDown(t.Context(), s, []string{"a1"}, upstreamDefaults)
		if err != nil || len(down.Removable) != 1 {
			t.Fatalf("a1 stays: %v, %v", down.Kept, err)
		}
		homes = append(homes, p.homes["web-0"])
		s.Nodes[1], s.Nodes[2] = s.Nodes[2], s.Nodes[1] // the first fit would be another node now
	}
	if homes[0] == "" || homes[0] != homes[1] {
		t.Errorf("web-0 goes to %q, then to %q", homes[0], homes[1])
	}
}
