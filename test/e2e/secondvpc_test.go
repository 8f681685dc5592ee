//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

// testSecondVPC runs two clusters side by side, with the same addresses in two VPCs.
func testSecondVPC(t *testing.T, r *region) {
	first := r.create(t, "side-a", roomFor300...)
	vpc, subnet := r.makeVPC(t, "e2e-second", "172.26.0.0/20")
	second := r.create(t, "side-b", append(roomFor300, "--network.subnet-ids", fmt.Sprintf("[%q]", subnet))...)
	both := []*cluster{first, second}
	dir := t.TempDir()
	var addresses []string
	for _, c := range both {
		c.waitRunning(t)
		c.fetchKubeconfig(t, dir)
		for _, n := range c.waitNodes(t, 2, 2*time.Minute) {
			addresses = append(addresses, internalIP(n))
		}
		c.apply(t, nginxManifest)
		c.apply(t, clientManifest)
	}
	t.Logf("addresses of the nodes: %v", addresses)
	for _, c := range both {
		c.mustKubectl(t, "rollout", "status", "deployment/nginx", "--timeout=3m")
		c.mustKubectl(t, "rollout", "status", "daemonset/client", "--timeout=3m")
		c.eventuallyInPod(t, c.pods(t, "app=client")[0].Name, "timeout", "5", "wget", "-q", "-O", "/dev/null", "http://nginx/")
	}
	if a, b := first.endpoint(t), second.endpoint(t); a == b {
		t.Errorf("both clusters have the API server %s", a)
	}
	first.controlPlaneGrows(t)
	recorded := []traces{first.record(t), second.record(t)}
	for _, c := range both {
		r.mustMgc(t, "cluster", "delete", c.id, "--no-confirm")
	}
	for i, c := range both {
		c.waitGone(t)
		r.expectNothing(t, recorded[i])
	}
	eventually(t, time.Minute, "the subnet is deleted", func() error {
		if err := r.cloud.Network.DeleteSubnet(t.Context(), subnet); err != nil && !mgc.IsNotFound(err) {
			return err
		}
		return nil
	})
	eventually(t, time.Minute, "the VPC is deleted", func() error {
		if err := r.cloud.Network.DeleteVPC(t.Context(), vpc); err != nil && !mgc.IsNotFound(err) {
			return err
		}
		_, err := r.cloud.Network.GetVPC(t.Context(), vpc)
		if mgc.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("it is still there"), err)
	})
	eventually(t, 30*time.Second, "nothing of the VPC is on the machine", func() error {
		if found := onMachine(r.data, vpc); len(found) > 0 {
			return fmt.Errorf("%s", strings.Join(found, "; "))
		}
		return nil
	})
}

// makeVPC makes a VPC with one subnet in zone a, over the cloud's public API.
func (r *region) makeVPC(t *testing.T, name, cidr string) (vpc, subnet string) {
	t.Helper()
	vpc, err := r.cloud.Network.CreateVPC(t.Context(), mgc.VPCCreate{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the VPC takes a subnet", func() (err error) {
		subnet, err = r.cloud.Network.CreateSubnet(t.Context(), vpc, "a", mgc.SubnetCreate{Name: name, CIDRBlock: cidr, IPVersion: 4})
		return err
	})
	return vpc, subnet
}

func internalIP(n corev1.Node) string {
	i := slices.IndexFunc(n.Status.Addresses, func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeInternalIP })
	if i < 0 {
		return ""
	}
	return n.Status.Addresses[i].Address
}
