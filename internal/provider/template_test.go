package provider

import (
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
)

// TestTemplateCapacity: an autoscaler learns from a template what a node will have.
func TestTemplateCapacity(t *testing.T) {
	e := start(t)
	ctx := t.Context()
	template := func(name, machineType string) *infrav1.MGKMachineTemplate {
		m := &infrav1.MGKMachineTemplate{ObjectMeta: e.meta(name)}
		m.Spec.Template.Spec = infrav1.MGKMachineSpec{MachineType: machineType, Image: "cloud-mke-node-v1.34.2"}
		e.Expect(e.Create(ctx, m)).To(Succeed())
		return m
	}
	unknown, known := template("unknown", "XL"), template("known", "BV4-8-40")
	e.Eventually(e.reload(ctx, known, func() any { return known.Status.NodeInfo })).Should(Equal(infrav1.NodeInfo{Architecture: "amd64", OperatingSystem: "linux"}))
	e.Expect(known.Status.Capacity).To(HaveLen(3))
	for name, want := range map[corev1.ResourceName]string{"cpu": "4", "memory": "8Gi", "ephemeral-storage": "40Gi"} {
		got := known.Status.Capacity[name]
		e.Expect(got.Cmp(resource.MustParse(want))).To(BeZero(), "%s is %s", name, got.String())
	}
	e.Consistently(e.reload(ctx, unknown, func() any { return unknown.Status })).Should(BeZero())
}
