package simulation

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ending(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(0, 0)} }

func beside(p *corev1.Pod) {
	p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
		TopologyKey: corev1.LabelTopologyZone, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
	}}}}
}

// foe keeps the plain pods out of its zone, and so does one that finds them by their namespace.
func foe(namespaces *metav1.LabelSelector) func(p *corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: corev1.LabelTopologyZone, NamespaceSelector: namespaces, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "plain"}},
		}}}}
	}
}

// unlabelled nodes are in no domain.
func unlabelled(n *corev1.Node) *corev1.Node {
	n.Labels = map[string]string{}
	return n
}

// TestKeptCyclesStayTrue changes a cluster at random, forks and reverts it, and compares cycles that go on all the time with cycles that look at
// everything anew.
func TestKeptCyclesStayTrue(t *testing.T) {
	kinds := map[string][]func(*corev1.Pod){
		"plain": nil, "zones": {spreading(1, corev1.LabelTopologyZone)}, "hosts": {spreading(1, corev1.LabelHostname)},
		"both": {spreading(2, corev1.LabelTopologyZone), spreading(1, corev1.LabelHostname)}, "apart": {apart},
		"apart-zones": {apart, spreading(1, corev1.LabelTopologyZone)}, "some-zones": {spreading(1, corev1.LabelTopologyZone), inZones("a", "b")},
		"beside": {beside}, "ending": {spreading(1, corev1.LabelTopologyZone), ending},
		"foe": {foe(nil)}, "foe-of-all": {foe(&metav1.LabelSelector{})},
	}
	for seed := range uint64(8) {
		w := &keptWorld{t: t, r: rand.New(rand.NewPCG(seed, 3)), c: newCluster(t), cycles: map[string]*Cycle{}, kinds: kinds}
		var nodes []*corev1.Node
		for i := range 5 {
			nodes = append(nodes, node(fmt.Sprintf("n%d", i), string("abc"[i%3])))
		}
		w.c.Reset(append(nodes, unlabelled(node("bare", ""))), nil, nil)
		w.c.Record()
		for name, change := range kinds {
			w.cycles[name] = w.c.BeginKept(t.Context(), pod(name, 1000, change...))
		}
		for range 60 {
			w.change()
			w.compare()
		}
		for name, cy := range w.cycles {
			if cy.fresh {
				t.Errorf("the cycle of %s gathers everything anew each time", name)
			}
		}
	}
}

type keptWorld struct {
	t      *testing.T
	r      *rand.Rand
	c      *Cluster
	cycles map[string]*Cycle
	kinds  map[string][]func(*corev1.Pod)
	made   int
}

// change does one thing at random.
func (w *keptWorld) change() {
	w.made++
	switch nodes := w.c.Nodes(); w.r.IntN(8) {
	case 0:
		w.c.Fork()
	case 1:
		if len(w.c.snapshot.marks) > 0 {
			w.c.Revert()
		}
	case 2:
		if len(w.c.snapshot.marks) > 0 {
			w.c.Commit()
		}
	case 3:
		w.c.AddNode(node(fmt.Sprintf("m%d", w.made), string("abcd"[w.r.IntN(4)])), nil, nil)
	case 4:
		if len(nodes) > 2 {
			w.c.RemoveNode(nodes[w.r.IntN(len(nodes))])
		}
	default:
		for name, change := range w.kinds { // one of them
			n := nodes[w.r.IntN(len(nodes))]
			if err := w.cycles[name].Settle(pod(name, w.made, change...), n); err != nil {
				w.t.Fatal(err)
			}
			break
		}
	}
}

func (w *keptWorld) compare() {
	w.t.Helper()
	for name, change := range w.kinds {
		if w.r.IntN(2) == 0 {
			continue // it catches up later
		}
		for i, fits := range verdicts(w.t.Context(), w.c, pod(name, 1000, change...)) {
			n := w.c.Nodes()[i]
			if status := w.cycles[name].Fits(n); fits != (status == nil) {
				w.t.Fatalf("after %d changes: %s on %s: %v, anew: %t", w.made, name, n.Name, reasons(status), fits)
			}
		}
	}
}
