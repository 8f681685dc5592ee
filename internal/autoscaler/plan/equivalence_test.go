package plan

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestClassify(t *testing.T) {
	web := func() *corev1.Pod { return pods("web", 2, 100, 64)[1] }
	tests := []struct {
		name   string
		change func(*corev1.Pod)
		same   bool
	}{
		{"the name of the token's volume", func(*corev1.Pod) {}, true},
		{"a number written otherwise", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[corev1.ResourceCPU] = resource.MustParse("0.1")
		}, true},
		{"an empty list", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{} }, true},
		{"the image", func(p *corev1.Pod) { p.Spec.Containers[0].Image = "other" }, true},
		{"a StatefulSet's label for each pod", func(p *corev1.Pod) { p.Labels["apps.kubernetes.io/pod-index"] = "1" }, true},
		{"the controller", func(p *corev1.Pod) { p.OwnerReferences[0].UID = "other" }, false},
		{"the namespace", func(p *corev1.Pod) { p.Namespace = "other" }, false},
		{"a label", func(p *corev1.Pod) { p.Labels["version"] = "2" }, false},
		{"what it asks for", func(p *corev1.Pod) {
			p.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory] = resource.MustParse("65Mi")
		}, false},
		{"a toleration", tolerating("x"), false},
		{"a node selector", selecting("x", "y"), false},
		{"a host port", hostPort(80), false},
		{"the priority", withPriority(7), false},
		{"spread", spreadOver(zoneLabel), false},
		{"anti-affinity", apart(zoneLabel), false},
		{"a claim", func(p *corev1.Pod) { withClaims([]*corev1.Pod{p}, "data") }, false},
		{"a nomination", func(p *corev1.Pod) { p.Status.NominatedNodeName = "n1" }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			other := web()
			tt.change(other)
			classes := classify([]*corev1.Pod{pods("web", 1, 100, 64)[0], other})
			if got := len(classes) == 1; got != tt.same {
				t.Errorf("pods that differ by it are one class: %t, want %t", got, tt.same)
			}
		})
	}
}
