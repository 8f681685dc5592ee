package main

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

func TestViewCounts(t *testing.T) {
	v := &view{nodes: map[string]bool{}, pods: map[string]corev1.PodPhase{}}
	node := func(name string, ready corev1.ConditionStatus) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}}}
	}
	pod := func(name string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.PodStatus{Phase: phase}}
	}
	for _, n := range []*corev1.Node{node("a", corev1.ConditionFalse), node("a", corev1.ConditionTrue), node("b", corev1.ConditionUnknown), node("c", corev1.ConditionTrue)} {
		kept, err := v.node(n)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.node(kept); err != nil { // as informers do with what they list
			t.Fatal(err)
		}
	}
	for _, p := range []*corev1.Pod{pod("x", corev1.PodPending), pod("x", corev1.PodRunning), pod("y", corev1.PodPending), pod("z", corev1.PodRunning)} {
		kept, err := v.pod(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.pod(kept); err != nil {
			t.Fatal(err)
		}
	}
	v.forget(node("c", corev1.ConditionTrue))
	v.forget(cache.DeletedFinalStateUnknown{Obj: pod("z", corev1.PodRunning)})
	if got, want := v.counts(), (counts{nodes: 2, ready: 1, pods: 2, pending: 1, running: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestPercentile(t *testing.T) {
	before := calls{"customer get": {0.1: 10, 1: 10, 60: 10}}
	after := calls{"customer get": {0.1: 100, 1: 109, 60: 110}}
	var out strings.Builder
	after.print(&out, before)
	if got, want := out.String(), "RESULT scale api=\"customer get\" calls=100 p99_s_below=1\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestProcesses(t *testing.T) {
	before := map[string]process{"/proc/1": {"a", 5, 9}, "/proc/2": {"b", 1, 1}}
	after := map[string]process{"/proc/1": {"a", 7, 10}, "/proc/3": {"a", 2, 5}, "/proc/2": {"c", 1, 1}} // number 2 is another one now
	var out strings.Builder
	printProcesses(&out, before, after, 10*time.Second)
	want := `RESULT scale process="a" cpu_s=4.0 of_a_core=0.40 rss_mib=15
RESULT scale process="c" cpu_s=1.0 of_a_core=0.10 rss_mib=1
`
	if out.String() != want {
		t.Errorf("got %s", out.String())
	}
}
