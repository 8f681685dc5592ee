package machine

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

func TestNodeChanged(t *testing.T) {
	machine := func(status metav1.ConditionStatus, reason string) *clusterv1.Machine {
		m := &clusterv1.Machine{}
		if reason != "" {
			m.Status.NodeRef.Name = "node"
			conditions.Set(m, metav1.Condition{Type: clusterv1.MachineNodeReadyCondition, Status: status, Reason: reason})
		}
		return m
	}
	noNode, ready := machine("", ""), machine(metav1.ConditionTrue, "Ready")
	unknown, deleted := machine(metav1.ConditionUnknown, "Unknown"), machine(metav1.ConditionFalse, clusterv1.MachineNodeDeletedReason)
	for _, tt := range []struct {
		name          string
		before, after *clusterv1.Machine
		want          bool
	}{
		{"joins", noNode, ready, false},
		{"stays ready", ready, ready, false},
		{"goes silent", ready, unknown, true},
		{"stays silent", unknown, unknown, false},
		{"Node is deleted", unknown, deleted, true},
		{"comes back", unknown, ready, true},
	} {
		if got := nodeChanged().Update(event.UpdateEvent{ObjectOld: tt.before, ObjectNew: tt.after}); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
