package plan

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/simulation"
)

// world is an invented cluster: three zones, pools of which one is tainted, and Deployments of all kinds.
func world(r *rand.Rand) (State, []*corev1.Pod) {
	var s State
	zones := []string{"a", "b", "c"}
	for i := range r.IntN(12) {
		n := node(fmt.Sprintf("n%d", i), 1+r.IntN(8), 16, inZone(zones[i%3]))
		s.Nodes = append(s.Nodes, n)
		s.Pods = append(s.Pods, pods(fmt.Sprintf("run%d", i), r.IntN(3), int64(100+r.IntN(400)), 256, on(n.Name))...)
	}
	for _, zone := range zones {
		g := pool("pool-"+zone, r.IntN(12), inZone(zone))
		g.Size = r.IntN(1 + g.Max/2)
		g.Upcoming = r.IntN(1 + g.Size)
		s.Groups = append(s.Groups, g)
	}
	s.Groups = append(s.Groups, pool("batch", r.IntN(5), inZone("a"), taint("batch")))
	var pending []*corev1.Pod
	for i := range 2 + r.IntN(8) {
		var change []func(*corev1.Pod)
		for _, c := range []func(*corev1.Pod){
			spreadOver(zoneLabel), spreadOver(corev1.LabelHostname), apart(corev1.LabelHostname), together(zoneLabel), tolerating("batch"),
			selecting(zoneLabel, "b"), hostPort(int32(8000 + r.IntN(2))), withPriority(int32(r.IntN(100))),
		} {
			if r.IntN(5) == 0 {
				change = append(change, c)
			}
		}
		pending = append(pending, pods(fmt.Sprintf("app%d", i), 1+r.IntN(15), int64(100+r.IntN(2500)), int64(64+r.IntN(4000)), change...)...)
	}
	return s, pending
}

// TestPlansHold invents clusters and lets plans and a scheduler take turns, the scheduler with filters that look at the whole cluster anew for
// each pod. It packs in an order of its own, so that a pod may have to be planned for again; in the end each has a place or was refused.
func TestPlansHold(t *testing.T) {
	p := newPlanner(t, Options{BalanceSimilar: true})
	first, again := 0, 0
	for seed := range uint64(60) {
		s, pending := world(rand.New(rand.NewPCG(seed, 1)))
		for round := 0; ; round++ {
			up, err := p.ScaleUp(t.Context(), s, pending)
			if err != nil {
				t.Fatalf("world %d: %v", seed, err)
			}
			checkPlan(t, seed, s, pending, up)
			if len(up.Refused) == len(pending) {
				break
			}
			if round == 5 {
				t.Fatalf("world %d: %d pods are planned for again and again", seed, len(pending)-len(up.Refused))
			}
			apply(&s, up)
			left := schedule(t, &s, pending)
			if round == 0 {
				first, again = first+len(pending)-len(up.Refused), again+len(left)-len(up.Refused)
			}
			pending = left
		}
	}
	if again > first/10 {
		t.Errorf("%d of %d pods found no place after the first plan", again, first)
	}
}

func checkPlan(t *testing.T, seed uint64, s State, pending []*corev1.Pod, up ScaleUp) {
	t.Helper()
	planned := len(up.Waiting) + len(up.Refused)
	for _, g := range s.Groups {
		if size := g.Size + up.Increase[g.Name]; size > max(g.Max, g.Size) {
			t.Errorf("world %d: pool %s would have %d nodes of at most %d", seed, g.Name, size, g.Max)
		}
		planned += len(up.Triggered[g.Name])
	}
	if planned != len(pending) {
		t.Errorf("world %d: the plan is about %d of %d pods", seed, planned, len(pending))
	}
}

// apply makes the nodes of the plan, and those under way, present.
func apply(s *State, up ScaleUp) {
	for i := range s.Groups {
		g := &s.Groups[i]
		for range g.Upcoming + up.Increase[g.Name] {
			n := g.Templates[0].DeepCopy()
			n.Name = fmt.Sprintf("%s-%d", g.Name, len(s.Nodes))
			n.Labels[corev1.LabelHostname] = n.Name
			s.Nodes = append(s.Nodes, n)
		}
		g.Size, g.Upcoming = g.Size+up.Increase[g.Name], 0
	}
}

// schedule binds pods and returns those that stay pending; each is tried again as long as others find places.
func schedule(t *testing.T, s *State, pending []*corev1.Pod) []*corev1.Pod {
	t.Helper()
	c := newPlanner(t, Options{}).cluster
	c.Reset(s.Nodes, s.Pods, nil)
	for {
		var left []*corev1.Pod
		for _, pod := range pending {
			cy := c.Begin(t.Context(), pod)
			n := cy.Find(0, c.Len())
			if n == nil {
				left = append(left, pod)
				continue
			}
			place(t, cy, pod, n)
			bound := pod.DeepCopy()
			bound.Spec.NodeName = n.Name
			s.Pods = append(s.Pods, bound)
		}
		if len(left) == 0 || len(left) == len(pending) {
			return left
		}
		pending = left
	}
}

func place(t *testing.T, cy *simulation.Cycle, pod *corev1.Pod, n *simulation.Node) {
	t.Helper()
	if err := cy.Place(pod, n); err != nil {
		t.Fatal(err)
	}
}

// TestRemovableNodesGoTogether invents clusters, takes out all removable nodes at once, and puts each pod where the plan says.
func TestRemovableNodesGoTogether(t *testing.T) {
	gone := 0
	for seed := range uint64(60) {
		s, pending := world(rand.New(rand.NewPCG(seed, 2)))
		for i, pod := range pending {
			if len(s.Nodes) > 0 && i%3 == 0 {
				on(s.Nodes[i%len(s.Nodes)].Name)(pod)
				s.Pods = append(s.Pods, pod)
			}
		}
		s.Groups[0].Size, s.Groups[0].Min = len(s.Nodes), 1
		s.NodeGroup = func(string) string { return s.Groups[0].Name }
		var candidates []string
		for _, n := range s.Nodes {
			candidates = append(candidates, n.Name)
		}
		p := newPlanner(t, Options{})
		down, err := p.ScaleDown(t.Context(), s, candidates, ScaleDownOptions{UtilizationThreshold: 0.8})
		if err != nil {
			t.Fatalf("world %d: %v", seed, err)
		}
		if len(down.Removable)+len(down.Kept) != len(candidates) || len(down.Removable) > max(0, len(s.Nodes)-1) {
			t.Errorf("world %d: %d nodes go and %d stay of %d", seed, len(down.Removable), len(down.Kept), len(candidates))
		}
		gone += len(down.Removable)
		leaving := map[string]bool{}
		var moved []*corev1.Pod
		for _, r := range down.Removable {
			leaving[r.Node] = true
			moved = append(moved, r.Pods...)
		}
		c := newPlanner(t, Options{}).cluster
		c.Reset(slices.DeleteFunc(slices.Clone(s.Nodes), func(n *corev1.Node) bool { return leaving[n.Name] }), s.Pods, nil)
		for _, pod := range moved {
			n, cy := c.Node(p.homes[pod.UID]), c.Begin(t.Context(), pod)
			if n == nil {
				t.Errorf("world %d: pod %s has no place", seed, pod.Name)
				continue
			}
			if status := cy.Fits(n); status != nil {
				t.Errorf("world %d: pod %s does not fit on %s: %s", seed, pod.Name, n.Name, simulation.Reasons(status))
			}
			place(t, cy, pod, n)
		}
	}
	if gone == 0 {
		t.Error("no node of any world goes: the test shows nothing")
	}
}
