package cluster

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/golden"
)

func testCluster() *mkev1.MGCCluster {
	return &mkev1.MGCCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: "cluster-0c4f", Name: "meu-cluster", UID: "uid"},
		Spec: mkev1.MGCClusterSpec{
			ClusterID: "0c4f", TenantID: "t1", Region: "br-se1", KubernetesVersion: "v1.34.2", CNI: "calico",
			PodsCIDR: "192.168.0.0/16", ServicesCIDR: "10.96.0.0/12", AllowedCIDRs: []string{"198.51.100.0/24"},
			Network:      mkev1.Network{VPCID: "vpc", Subnets: []mkev1.Subnet{{ID: "sn-a", Zone: "br-se1-a", CIDR: "172.26.0.0/20"}}},
			ControlPlane: mkev1.ControlPlane{Replicas: 3, MachineType: "BV2-4-40"},
		},
	}
}

func TestObjects(t *testing.T) {
	c := testCluster()
	template := desiredMachineTemplate(c, "cloud-mke-node-{version}")
	golden.Match(t, "cluster", desiredCluster(c))
	golden.Match(t, "infrastructure", desiredInfrastructure(c))
	golden.Match(t, "machine-template", template)
	golden.Match(t, "control-plane", desiredControlPlane(c, template))
	golden.Match(t, "ccm", desiredCCM(c, "mke:1", "https://cloud/br-se1", true))
	autoscaler := desiredAutoscaler(c, "mke:1", []string{"--scale-down-unneeded-time=5m"})
	golden.Match(t, "autoscaler", autoscaler[len(autoscaler)-1])
	golden.Match(t, "autoscaler-role-binding", autoscaler[1])
}

// What rolls control plane machines is only what makes a new template or a new KubeadmControlPlane spec.
func TestWhatRollsTheControlPlane(t *testing.T) {
	name := func(change func(*mkev1.MGCCluster)) string {
		c := testCluster()
		change(c)
		return desiredMachineTemplate(c, "cloud-mke-node-{version}").Name
	}
	same := name(func(*mkev1.MGCCluster) {})
	for what, rolls := range map[string]struct {
		change func(*mkev1.MGCCluster)
		want   bool
	}{
		"machine type":  {func(c *mkev1.MGCCluster) { c.Spec.ControlPlane.MachineType = "BV4-8-40" }, true},
		"version":       {func(c *mkev1.MGCCluster) { c.Spec.KubernetesVersion = "v1.35.4" }, true},
		"allowed CIDRs": {func(c *mkev1.MGCCluster) { c.Spec.AllowedCIDRs = nil }, false},
		"replicas":      {func(c *mkev1.MGCCluster) { c.Spec.ControlPlane.Replicas = 5 }, false},
	} {
		if got := name(rolls.change) != same; got != rolls.want {
			t.Errorf("%s: rolls = %v, want %v", what, got, rolls.want)
		}
	}
}
