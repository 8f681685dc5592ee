package simulation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	fwk "k8s.io/kube-scheduler/framework"
)

func newCluster(t *testing.T) *Cluster {
	t.Helper()
	factory := informers.NewSharedInformerFactory(fake.NewClientset(), 0)
	c, err := New(t.Context(), factory)
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	return c
}

func node(name, zone string) *corev1.Node {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("16Gi"), corev1.ResourcePods: resource.MustParse("20"),
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: zone}},
		Status:     corev1.NodeStatus{Allocatable: room},
	}
}

func pod(app string, i int, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", app, i), Namespace: "default", Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
		}}}},
	}
	for _, c := range change {
		c(p)
	}
	return p
}

func spreading(skew int32, key string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: skew, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
		})
	}
}

func apart(p *corev1.Pod) {
	p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
	}}}}
}

// verdicts says for each node whether it takes the pod, by a cycle of its own.
func verdicts(ctx context.Context, c *Cluster, p *corev1.Pod) []bool {
	cy := c.Begin(ctx, p)
	fits := make([]bool, c.Len())
	for i, n := range c.Nodes() {
		fits[i] = cy.Fits(n) == nil
	}
	return fits
}

func mustPlace(t *testing.T, cy *Cycle, p *corev1.Pod, n *Node) {
	t.Helper()
	if err := cy.Place(p, n); err != nil {
		t.Fatal(err)
	}
}

func TestForksAreTakenBack(t *testing.T) {
	c := newCluster(t)
	web := func(i int) *corev1.Pod { return pod("web", i, apart) }
	c.Reset([]*corev1.Node{node("n0", "a"), node("n1", "b"), node("n2", "c")}, nil, nil)
	before := verdicts(t.Context(), c, web(9))

	c.Fork()
	cy := c.Begin(t.Context(), web(0))
	mustPlace(t, cy, web(0), c.Node("n0"))
	c.Fork()
	added := c.AddNode(node("n3", "a"), nil, nil)
	mustPlace(t, c.Begin(t.Context(), web(1)), web(1), added)
	c.RemoveNode(c.Node("n1"))
	if got, want := fmt.Sprint(verdicts(t.Context(), c, web(9))), "[false false true]"; got != want { // n3 took the place of n1
		t.Errorf("with two pods apart and without n1 the nodes take the pod: %s, want %s", got, want)
	}
	c.Commit()
	c.Fork()
	mustPlace(t, c.Begin(t.Context(), web(2)), web(2), c.Node("n2"))
	c.Revert()
	if got, want := fmt.Sprint(verdicts(t.Context(), c, web(9))), "[false false true]"; got != want {
		t.Errorf("after the inner fork: %s, want %s", got, want)
	}
	c.Revert()
	if after := verdicts(t.Context(), c, web(9)); fmt.Sprint(after) != fmt.Sprint(before) || c.Len() != 3 || c.Node("n1").Index() != 1 {
		t.Errorf("after all: %v on %d nodes, want %v", after, c.Len(), before)
	}
}

func TestChangedPodsAreSeen(t *testing.T) {
	c := newCluster(t)
	nodes := []*corev1.Node{node("n0", "a")}
	bound := pod("web", 0, func(p *corev1.Pod) { p.UID, p.Spec.NodeName = "web-0", "n0" })
	c.Reset(nodes, []*corev1.Pod{bound}, nil)
	bigger := bound.DeepCopy()
	bigger.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("4")
	c.Reset(nodes, []*corev1.Pod{bigger}, nil)
	if fits := verdicts(t.Context(), c, pod("web", 1)); fits[0] {
		t.Error("a node that a changed pod fills takes another")
	}
}

// TestCyclesStayTrue places pod after pod in one cycle, adds nodes meanwhile, and compares with cycles that look at everything anew. It fails,
// too, when the scheduler's plugin no longer lets its counts be kept.
func TestCyclesStayTrue(t *testing.T) {
	kinds := map[string][]func(*corev1.Pod){
		"plain":                    nil,
		"spread over zones":        {spreading(1, corev1.LabelTopologyZone)},
		"spread over hosts":        {spreading(1, corev1.LabelHostname)},
		"spread over both":         {spreading(2, corev1.LabelTopologyZone), spreading(1, corev1.LabelHostname)},
		"apart":                    {apart},
		"apart and over zones":     {apart, spreading(1, corev1.LabelTopologyZone)},
		"spread, in zones a and b": {spreading(1, corev1.LabelTopologyZone), inZones("a", "b")},
	}
	c := newCluster(t)
	zones := []string{"a", "b", "c"}
	for name, change := range kinds {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			var nodes []*corev1.Node
			for i := range 6 {
				nodes = append(nodes, node(fmt.Sprintf("n%d", i), zones[i%2]))
			}
			c.Reset(nodes, []*corev1.Pod{pod("web", 100, func(p *corev1.Pod) { p.Spec.NodeName = "n0" })}, nil)
			cy := c.Begin(t.Context(), pod("web", 0, change...))
			for i := range 30 {
				if i%5 == 4 {
					added := c.AddNode(node(fmt.Sprintf("n%d", c.Len()), zones[r.IntN(3)]), nil, nil)
					if err := cy.NodeAdded(added); err != nil {
						t.Fatal(err)
					}
				}
				if cy.fresh {
					t.Fatal("the cycle gathers everything anew for each pod")
				}
				var open []*Node
				next := pod("web", i, change...)
				for j, fits := range verdicts(t.Context(), c, next) {
					n := c.Nodes()[j]
					if status := cy.Fits(n); fits != (status == nil) {
						t.Fatalf("pod %d on %s: %v, anew: %t", i, n.Name, reasons(status), fits)
					}
					if fits {
						open = append(open, n)
					}
				}
				if len(open) > 0 {
					mustPlace(t, cy, next, open[r.IntN(len(open))])
				}
			}
		})
	}
}

func inZones(zones ...string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		if p.Spec.Affinity == nil {
			p.Spec.Affinity = &corev1.Affinity{}
		}
		p.Spec.Affinity.NodeAffinity = &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: zones},
			}}},
		}}
	}
}

func reasons(status *fwk.Status) string {
	if status == nil {
		return "fits"
	}
	return Reasons(status)
}
