package nodepool

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
)

// TestZones: the order is the provider's, and it does not change with every machine that comes or goes.
func TestZones(t *testing.T) {
	for name, tt := range map[string]struct {
		machines string // the zone letter of each machine, - for none yet
		wanted   int32
		before   string
		want     string
	}{
		"empty":                     {"", 0, "", "a,b"},
		"the emptier one first":     {"aab", 3, "a,b", "b,a"},
		"equal":                     {"ba", 2, "b,a", "a,b"},
		"a machine is being placed": {"aab-", 4, "a,b", "a,b"},
		"machines are being made":   {"aab", 9, "a,b", "a,b"},
		"other subnets than before": {"aab-", 4, "a,c", "b,a"},
	} {
		s := testScope()
		s.pool.Spec.AutoScale = &mkev1.AutoScale{MaxReplicas: 9}
		full := func(letters string) string {
			return strings.NewReplacer("a", "br-se1-a", "b", "br-se1-b", "c", "br-se1-c").Replace(letters)
		}
		for _, letter := range tt.machines {
			m := infrav1.MGKMachine{}
			if letter != '-' {
				m.Status.FailureDomain = "br-se1-" + string(letter)
			}
			s.instances = append(s.instances, m)
			s.machines = append(s.machines, clusterv1.Machine{})
		}
		n := int32(len(tt.machines))
		s.deployment = &clusterv1.MachineDeployment{Spec: clusterv1.MachineDeploymentSpec{Replicas: &tt.wanted}}
		s.deployment.Status.Replicas, s.deployment.Status.UpToDateReplicas = &n, &n
		s.deployment.Annotations = map[string]string{mkev1.ZonesAnnotation: full(tt.before)}
		if got := zones(s); !slices.Equal(got, strings.Split(full(tt.want), ",")) {
			t.Errorf("%s: %v, want %s", name, got, tt.want)
		}
	}
}

func TestAutoscalerStatus(t *testing.T) {
	for name, tt := range map[string]struct {
		annotation string
		want       *mkev1.AutoscalerStatus
	}{
		"nothing said":  {"", nil},
		"blocked":       {`{"state":"Blocked","message":"the quota is used up"}`, &mkev1.AutoscalerStatus{State: mkev1.AutoscalerBlocked, Message: "the quota is used up"}},
		"no JSON":       {"{", nil},
		"unknown state": {`{"state":"Dreaming"}`, nil},
		"too long": {`{"state":"Idle","message":"` + strings.Repeat("ã", 600) + `"}`,
			&mkev1.AutoscalerStatus{State: mkev1.AutoscalerIdle, Message: strings.Repeat("ã", 512)}},
	} {
		s := testScope()
		s.deployment = &clusterv1.MachineDeployment{}
		s.deployment.Annotations = map[string]string{mkev1.AutoscalerStatusAnnotation: tt.annotation}
		if got := autoscalerStatus(s); got != nil {
			t.Errorf("%s: a pool of fixed size shows %v", name, got)
		}
		s.pool.Spec.AutoScale = &mkev1.AutoScale{MaxReplicas: 9}
		if diff := cmp.Diff(tt.want, autoscalerStatus(s)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestUnknownFlavor: what is not known is not guessed.
func TestUnknownFlavor(t *testing.T) {
	s := testScope()
	s.pool.Spec.AutoScale, s.pool.Spec.MachineType = &mkev1.AutoScale{MaxReplicas: 9}, "XL"
	s.deployment = &clusterv1.MachineDeployment{Spec: clusterv1.MachineDeploymentSpec{Replicas: ptr.To[int32](0)}}
	got := autoscalerAnnotations(s)
	for _, key := range []string{"cpu", "memory", "ephemeral-disk"} {
		if value, has := got[capacityPrefix+key]; has {
			t.Errorf("%s = %s", key, value)
		}
	}
	if got[capacityPrefix+"maxPods"] != "32" {
		t.Errorf("got %v", got)
	}
}
