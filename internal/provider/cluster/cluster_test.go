package cluster_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/provider/cluster"
	"magalu.cloud/mke/internal/provider/providertest"
)

func reconciler(w *providertest.World) *cluster.Reconciler {
	return &cluster.Reconciler{Client: w.Client, Clients: w.Clients(), Poller: cloud.NewPoller(), ManagementCIDRs: []string{"198.18.0.2/32"}}
}

func settle(w *providertest.World) {
	w.Settle(func() reconcile.Reconciler { return reconciler(w) }, providertest.Name, &infrav1.MGKCluster{})
}

func TestCreate(t *testing.T) {
	w := providertest.New(t)
	settle(w)
	c := w.MGKCluster()
	if !ptr.Deref(c.Status.Initialization.Provisioned, false) || !conditions.IsTrue(c, clusterv1.ReadyCondition) {
		t.Fatalf("not provisioned: %+v", c.Status)
	}
	lb := w.Cloud.LoadBalancers()[0]
	if c.Spec.ControlPlaneEndpoint.Host != lb.PublicIP.IPAddress || c.Spec.ControlPlaneEndpoint.Port != 6443 {
		t.Errorf("endpoint %v, load balancer %v", c.Spec.ControlPlaneEndpoint, lb.PublicIP)
	}
	if len(c.Status.FailureDomains) != 3 || c.Status.FailureDomains[0].Name != "br-se1-a" {
		t.Errorf("failure domains %v", c.Status.FailureDomains)
	}
	if len(lb.ACLs) != 0 {
		t.Errorf("ACLs without allowed CIDRs: %v", lb.ACLs)
	}
	for id, wants := range map[string][]string{
		c.Status.ControlPlaneSecurityGroupID: {"tcp 6443 0.0.0.0/0", "tcp 2379 172.26.16.0/20", "tcp 10257 172.26.16.0/20", "tcp 10250 172.26.0.0/20", "udp 4789 172.26.32.0/20", "tcp 30000 172.26.32.0/20", "icmp 0 0.0.0.0/0"},
		c.Status.NodeSecurityGroupID:         {"tcp 10250 172.26.0.0/20", "udp 4789 172.26.32.0/20", "udp 30000 172.26.0.0/20", "icmp 0 0.0.0.0/0"},
	} {
		var have []string
		for _, r := range w.Cloud.Rules(id) {
			have = append(have, fmt.Sprintf("%s %d %s", r.Protocol, r.PortRangeMin, r.RemoteIPPrefix))
		}
		for _, want := range wants {
			if !slices.Contains(have, want) {
				t.Errorf("rule %q is missing in %v", want, have)
			}
		}
	}
	w.Cloud.ResetCalls()
	settle(w)
	for _, call := range w.Cloud.Calls() {
		if call.Mutates() {
			t.Errorf("a settled cluster makes the call %v", call)
		}
	}
}

func TestAllowedCIDRs(t *testing.T) {
	w := providertest.New(t)
	settle(w)
	for _, tt := range []struct {
		name    string
		allowed []string
		want    []string
	}{
		{"closed to all but some", []string{"203.0.113.7/24"}, []string{"172.26.0.0/20", "172.26.16.0/20", "172.26.32.0/20", "198.18.0.2/32", "203.0.113.0/24"}},
		{"open again", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := w.MGKCluster()
			c.Spec.AllowedCIDRs = tt.allowed
			if err := w.Client.Update(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			settle(w)
			var have []string
			for _, a := range w.Cloud.LoadBalancers()[0].ACLs {
				have = append(have, a.RemoteIPPrefix)
			}
			if !slices.Equal(have, tt.want) {
				t.Errorf("ACLs %v, want %v", have, tt.want)
			}
		})
	}
}

func TestCreateDisturbed(t *testing.T) {
	providertest.Disturb(t, func(*providertest.World) {}, func(w *providertest.World) string {
		settle(w)
		c := w.MGKCluster()
		return fmt.Sprintf("provisioned=%v endpoint=%v\n%s", ptr.Deref(c.Status.Initialization.Provisioned, false), c.Spec.ControlPlaneEndpoint.IsValid(), w.Snapshot())
	})
}

func TestDeleteDisturbed(t *testing.T) {
	prepare := func(w *providertest.World) {
		settle(w)
		w.Cloud.AddPublicIP("left over " + cloud.Mark(providertest.ClusterID))
		w.Cloud.AddInstance("orphan", "br-se1-b", "BV2-4-40", cloud.Mark(providertest.ClusterID))
		w.Cloud.AddInstance("stranger", "br-se1-b", "BV2-4-40", cloud.Mark("someone-else"))
	}
	providertest.Disturb(t, prepare, func(w *providertest.World) string {
		w.Delete(w.MGKCluster())
		settle(w)
		return fmt.Sprintf("exists=%v\n%s", w.Exists(providertest.Name, &infrav1.MGKCluster{}), w.Snapshot())
	})
}

func TestDeleteWaitsForMachines(t *testing.T) {
	w := providertest.New(t)
	settle(w)
	w.AddMachine("cp-1", true, false)
	w.Delete(w.MGKCluster())
	settle(w)
	if len(w.Cloud.LoadBalancers()) != 1 {
		t.Fatal("the load balancer went before the machines")
	}
	w.Delete(&infrav1.MGKMachine{ObjectMeta: w.MGKMachine("cp-1").ObjectMeta})
	settle(w)
	if got, want := w.Snapshot(), "public addresses 0"; got != want {
		t.Errorf("left in the cloud:\n%s", got)
	}
}

func TestCloudErrors(t *testing.T) {
	for _, tt := range []struct {
		name            string
		fault           mgctest.Fault
		reason, message string
		slow            bool
	}{
		{"unavailable", mgctest.Fault{Status: 503}, "Unavailable", "waiting for the cloud: 503 Service Unavailable: injected fault", false},
		{"unauthorized", mgctest.Fault{Status: 401}, "Unauthorized", "the cloud refuses the cluster's API key: 401 Unauthorized: injected fault", true},
		{"rate limited", mgctest.Fault{Status: 429, RetryAfter: 90e9}, "RateLimited", "waiting for the cloud: 429 Too Many Requests: injected fault", true},
		{"cut off", mgctest.Fault{}, "Unavailable", "waiting for the cloud: it cannot be reached", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := providertest.New(t)
			remove := w.Cloud.Inject(tt.fault)
			r := reconciler(w)
			for range 3 { // finalizer, paused condition, cloud
				_, _ = w.ReconcileOnce(context.Background(), r, providertest.Name)
			}
			result, err := w.ReconcileOnce(context.Background(), r, providertest.Name)
			c := conditions.Get(w.MGKCluster(), infrav1.CloudReachableCondition)
			if c == nil || c.Reason != tt.reason || c.Message != tt.message {
				t.Errorf("condition %+v, want %s %q", c, tt.reason, tt.message)
			}
			if slow := err == nil && result.RequeueAfter.Minutes() >= 1; slow != tt.slow {
				t.Errorf("next try in %v, error %v", result.RequeueAfter, err)
			}
			remove()
			settle(w)
			if c := w.MGKCluster(); !conditions.IsTrue(c, infrav1.CloudReachableCondition) || !ptr.Deref(c.Status.Initialization.Provisioned, false) {
				t.Errorf("does not recover: %+v", c.Status)
			}
		})
	}
}

func TestLostLoadBalancerKeepsItsAddress(t *testing.T) {
	w := providertest.New(t)
	settle(w)
	before := w.MGKCluster()
	lb := w.Cloud.LoadBalancers()[0]
	if err := w.Cloud.Client(t).LoadBalancer.Delete(t.Context(), lb.ID, false); err != nil {
		t.Fatal(err)
	}
	settle(w)
	settle(w)
	after := w.MGKCluster()
	lbs := w.Cloud.LoadBalancers()
	if len(lbs) != 1 || lbs[0].ID == lb.ID || lbs[0].PublicIP.IPAddress != before.Spec.ControlPlaneEndpoint.Host || after.Status.LoadBalancerID != lbs[0].ID {
		t.Errorf("load balancers %+v, endpoint %v", lbs, after.Spec.ControlPlaneEndpoint)
	}
}

func TestFailedLoadBalancer(t *testing.T) {
	w := providertest.New(t)
	r := reconciler(w)
	for range 3 {
		_, _ = w.ReconcileOnce(context.Background(), r, providertest.Name)
	}
	first := w.Cloud.LoadBalancers()[0]
	w.Cloud.FailLoadBalancer(first.ID, "no address left")
	_, _ = w.ReconcileOnce(context.Background(), r, providertest.Name)
	if got := conditions.GetMessage(w.MGKCluster(), infrav1.LoadBalancerReadyCondition); got != "the API load balancer failed: no address left" {
		t.Errorf("message %q", got)
	}
	settle(w)
	lbs := w.Cloud.LoadBalancers()
	if len(lbs) != 1 || lbs[0].Status != mgc.LoadBalancerRunning || len(w.Cloud.PublicIPs()) != 1 {
		t.Errorf("load balancers %+v", lbs)
	}
}

func TestCredentials(t *testing.T) {
	w := providertest.New(t)
	settle(w)
	w.Cloud.RevokeKey(mgctest.TenantKey)
	w.Delete(w.MGKCluster())
	settle(w)
	if got := conditions.GetReason(w.MGKCluster(), infrav1.CloudReachableCondition); got != "Unauthorized" {
		t.Errorf("reason %s", got)
	}
	w.Cloud.RestoreKey(mgctest.TenantKey)
	settle(w)
	if w.Exists(providertest.Name, &infrav1.MGKCluster{}) {
		t.Error("the deletion does not go on with a good key")
	}
}
