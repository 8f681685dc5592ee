package plan

import (
	"maps"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func TestScaleUp(t *testing.T) {
	gpu := nodeLabel("gpu", "yes")
	tests := []struct {
		name     string
		opts     Options
		state    State
		pending  []*corev1.Pod
		increase map[string]int
		waiting  int
		refused  map[string]string // reasons of each refused pod; nil: none is refused
	}{
		{
			name:     "an empty pool grows by the nodes that pods fill",
			state:    State{Groups: []Group{pool("a", 10)}},
			pending:  pods("web", 10, 1000, 1024),
			increase: map[string]int{"a": 3},
		},
		{
			name:    "room on present nodes is used first",
			state:   State{Nodes: []*corev1.Node{node("n1", 4, 16)}, Groups: []Group{pool("a", 10)}},
			pending: pods("web", 6, 1000, 1024), increase: map[string]int{"a": 1}, waiting: 4,
		},
		{
			name:    "nodes under way are waited for",
			state:   State{Groups: []Group{{Name: "a", Max: 10, Size: 2, Upcoming: 2, Templates: pool("a", 1).Templates}}},
			pending: pods("web", 8, 1000, 1024), waiting: 8,
		},
		{
			name:    "a pool never grows above its maximum",
			state:   State{Groups: []Group{pool("a", 2)}},
			pending: pods("web", 12, 1000, 1024), increase: map[string]int{"a": 2}, refused: map[string]string{"a": "max node group size reached"},
		},
		{
			name:    "what one pool cannot hold goes to the next",
			state:   State{Groups: []Group{pool("a", 2), pool("b", 2)}},
			pending: pods("web", 12, 1000, 1024), increase: map[string]int{"a": 2, "b": 1},
		},
		{
			name:    "a pod too big for any node is refused with the scheduler's words",
			state:   State{Groups: []Group{pool("a", 2)}},
			pending: pods("web", 1, 8000, 1024), refused: map[string]string{"a": "1 Insufficient cpu"},
		},
		{
			name: "labels of an empty pool count", state: State{Groups: []Group{pool("a", 9), pool("b", 9, gpu)}},
			pending: pods("web", 1, 1000, 1024, selecting("gpu", "yes")), increase: map[string]int{"b": 1},
		},
		{
			name: "taints of an empty pool count", state: State{Groups: []Group{pool("a", 9, taint("batch"))}},
			pending: pods("web", 1, 1000, 1024), refused: map[string]string{"a": "1 node(s) had untolerated taint(s)"},
		},
		{
			name: "a pod that tolerates the taint gets a node", state: State{Groups: []Group{pool("a", 9, taint("batch"))}},
			pending: pods("web", 1, 1000, 1024, tolerating("batch")), increase: map[string]int{"a": 1},
		},
		{
			name: "a blocked pool is passed over for its equal",
			state: State{Groups: []Group{
				{Name: "a", Max: 5, Blocked: "in backoff after a failed scale-up", Templates: pool("a", 5).Templates}, pool("b", 5),
			}},
			pending: pods("web", 1, 1000, 1024), increase: map[string]int{"b": 1},
		},
		{
			name:    "a blocked pool says why",
			state:   State{Groups: []Group{{Name: "a", Max: 5, Blocked: "at quota", Templates: pool("a", 5).Templates}}},
			pending: pods("web", 1, 1000, 1024), refused: map[string]string{"a": "at quota"},
		},
		{
			name:    "host ports take a node each",
			state:   State{Groups: []Group{pool("a", 9)}},
			pending: pods("web", 3, 100, 64, hostPort(8080)), increase: map[string]int{"a": 3},
		},
		{
			name:    "DaemonSets take their share of new nodes",
			state:   State{Groups: []Group{pool("a", 9)}, DaemonSets: []*appsv1.DaemonSet{daemonSet("agent", 500, 64)}},
			pending: pods("web", 4, 1000, 64), increase: map[string]int{"a": 2},
		},
		{
			name: "DaemonSets that have not reached a present node take their share there, too",
			state: State{
				Nodes: []*corev1.Node{node("n1", 1, 16)}, Groups: []Group{pool("a", 9)},
				DaemonSets: []*appsv1.DaemonSet{daemonSet("agent", 500, 64)},
			},
			pending: pods("web", 1, 1000, 64), increase: map[string]int{"a": 1},
		},
		{
			name:    "anti-affinity of 50 pods makes 50 nodes",
			state:   State{Groups: []Group{pool("a", 100)}},
			pending: pods("web", 50, 100, 64, apart(corev1.LabelHostname)), increase: map[string]int{"a": 50},
		},
		{
			name:    "anti-affinity over zones makes no second node in a zone",
			state:   State{Groups: []Group{pool("a", 100, inZone("a"))}},
			pending: pods("web", 2, 100, 64, apart(zoneLabel)), increase: map[string]int{"a": 1},
			refused: map[string]string{"a": "1 node(s) didn't match pod anti-affinity rules"},
		},
		{
			name:    "affinity keeps pods in the zone of the first",
			state:   State{Groups: []Group{pool("a", 1, inZone("a")), pool("b", 9, inZone("b"))}},
			pending: pods("web", 8, 1000, 64, together(zoneLabel)), increase: map[string]int{"b": 2},
		},
		{
			name: "spread over three zones takes pools of all three",
			opts: Options{BalanceSimilar: true},
			state: State{
				Nodes:  []*corev1.Node{node("na", 1, 1, inZone("a")), node("nb", 1, 1, inZone("b")), node("nc", 1, 1, inZone("c"))},
				Groups: []Group{pool("a", 9, inZone("a")), pool("b", 9, inZone("b")), pool("c", 9, inZone("c"))},
			},
			pending: pods("web", 24, 1000, 2048, spreadOver(zoneLabel)), increase: map[string]int{"a": 2, "b": 2, "c": 2},
		},
		{
			name: "spread over three zones takes pools of all three when they are not balanced, too",
			state: State{
				Nodes:  []*corev1.Node{node("na", 1, 1, inZone("a")), node("nb", 1, 1, inZone("b")), node("nc", 1, 1, inZone("c"))},
				Groups: []Group{pool("a", 9, inZone("a")), pool("b", 9, inZone("b")), pool("c", 9, inZone("c"))},
			},
			pending: pods("web", 24, 1000, 2048, spreadOver(zoneLabel)), increase: map[string]int{"a": 2, "b": 2, "c": 2},
		},
		{
			name:    "similar pools grow evenly",
			opts:    Options{BalanceSimilar: true},
			state:   State{Groups: []Group{pool("a", 9, inZone("a")), pool("b", 9, inZone("b")), pool("c", 9, inZone("c"))}},
			pending: pods("web", 24, 1000, 64), increase: map[string]int{"a": 2, "b": 2, "c": 2},
		},
		{
			name:    "the limit of nodes holds",
			state:   State{Nodes: []*corev1.Node{node("n1", 0, 0)}, Groups: []Group{pool("a", 9)}, Limits: Limits{MaxNodesTotal: 3}},
			pending: pods("web", 12, 1000, 64), increase: map[string]int{"a": 2}, refused: map[string]string{"a": "max total nodes in cluster reached"},
		},
		{
			name:    "the limit of cores holds",
			state:   State{Groups: []Group{pool("a", 9)}, Limits: Limits{MaxCores: 11}},
			pending: pods("web", 12, 1000, 64), increase: map[string]int{"a": 2}, refused: map[string]string{"a": "max cluster cpu limit reached"},
		},
		{
			name:    "the limit of memory holds",
			state:   State{Groups: []Group{pool("a", 9)}, Limits: Limits{MaxMemoryGiB: 16}},
			pending: pods("web", 8, 1000, 64), increase: map[string]int{"a": 1}, refused: map[string]string{"a": "max cluster memory limit reached"},
		},
		{
			name:    "expendable pods make no nodes",
			opts:    Options{PriorityCutoff: -10},
			state:   State{Groups: []Group{pool("a", 9)}},
			pending: pods("web", 1, 1000, 64, withPriority(-20)),
		},
		{
			name: "expendable pods yield their room",
			opts: Options{PriorityCutoff: -10},
			state: State{
				Nodes: []*corev1.Node{node("n1", 4, 16)}, Pods: pods("filler", 1, 4000, 64, withPriority(-20), on("n1")), Groups: []Group{pool("a", 9)},
			},
			pending: pods("web", 1, 1000, 64), waiting: 1,
		},
		{
			name: "a pod that the scheduler preempts others for waits",
			state: State{
				Nodes: []*corev1.Node{node("n1", 4, 16)}, Pods: pods("filler", 1, 4000, 64, on("n1")), Groups: []Group{pool("a", 9)},
			},
			pending: pods("web", 1, 1000, 64, func(p *corev1.Pod) { p.Status.NominatedNodeName = "n1" }), waiting: 1,
		},
		{
			name: "pods of DaemonSets, gated and deleted ones are left alone", state: State{Groups: []Group{pool("a", 9)}},
			pending: slices.Concat(
				pods("ds", 1, 100, 64, func(p *corev1.Pod) { p.OwnerReferences[0].Kind = "DaemonSet" }),
				pods("gated", 1, 100, 64, func(p *corev1.Pod) { p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "wait"}} }),
				pods("gone", 1, 100, 64, func(p *corev1.Pod) { p.DeletionTimestamp = &p.CreationTimestamp }),
			),
		},
		{
			name: "resource claims are refused, not guessed", state: State{Groups: []Group{pool("a", 9)}},
			pending: pods("dra", 1, 100, 64, func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu"}} }),
			refused: map[string]string{"a": "pods with resource claims are not simulated"},
		},
		{
			name: "important pods get what is scarce", state: State{Groups: []Group{pool("a", 1)}},
			pending:  slices.Concat(pods("low", 1, 3000, 64), pods("high", 1, 2000, 64, withPriority(100))),
			increase: map[string]int{"a": 1}, refused: map[string]string{"a": "max node group size reached"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up, err := newPlanner(t, tt.opts).ScaleUp(t.Context(), tt.state, tt.pending)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(up.Increase, tt.increase) {
				t.Errorf("increase is %v, want %v", up.Increase, tt.increase)
			}
			if len(up.Waiting) != tt.waiting {
				t.Errorf("%d pods wait, want %d", len(up.Waiting), tt.waiting)
			}
			if (len(up.Refused) > 0) != (tt.refused != nil) {
				t.Errorf("%d pods are refused, want %v", len(up.Refused), tt.refused)
			}
			for _, r := range up.Refused {
				if !maps.Equal(r.Reasons, tt.refused) {
					t.Errorf("%s is refused for %v, want %v", r.Pod.Name, r.Reasons, tt.refused)
				}
			}
		})
	}
}

// ticking is a clock that goes on by a second whenever it is looked at.
type ticking struct{ now time.Time }

func (c *ticking) Now() time.Time {
	c.now = c.now.Add(time.Second)
	return c.now
}

func (c *ticking) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

func TestAPlanThatRunsOutOfTimeSaysNothingOfTheRest(t *testing.T) {
	pending := slices.Concat(pods("a", 3, 1000, 64), pods("b", 3, 900, 64), pods("c", 3, 800, 64), pods("huge", 1, 99000, 64))
	for seconds := range 30 {
		opts := Options{Clock: &ticking{}, MaxBinpackingTime: time.Duration(seconds+1) * time.Second}
		up, err := newPlanner(t, opts).ScaleUp(t.Context(), State{Groups: []Group{pool("p", 9)}}, pending)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range up.Refused {
			if r.Pod.Name != "huge-0" {
				t.Errorf("after %d s pod %s is refused for %v", seconds, r.Pod.Name, r.Reasons)
			}
		}
		switch planned := len(up.Triggered["p"]); {
		case planned == 9 && len(up.Refused) == 1:
			return
		case planned%3 != 0:
			t.Errorf("after %d s %d pods are planned, want whole classes", seconds, planned)
		}
	}
	t.Error("30 s are not enough for the plan")
}
