package machine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/provider/cloud"
	"magalu.cloud/mke/internal/provider/cluster"
	"magalu.cloud/mke/internal/provider/machine"
	"magalu.cloud/mke/internal/provider/providertest"
)

func reconciler(w *providertest.World) *machine.Reconciler {
	return &machine.Reconciler{Client: w.Client, Live: w.Client, Clients: w.Clients(), Poller: cloud.NewPoller()}
}

func settle(w *providertest.World, name string) {
	w.Settle(func() reconcile.Reconciler { return reconciler(w) }, name, &infrav1.MGKMachine{})
}

// withCluster returns a world whose cluster infrastructure is there.
func withCluster(w *providertest.World) *providertest.World {
	settleCluster(w)
	w.MarkInfrastructureProvisioned()
	return w
}

func settleCluster(w *providertest.World) {
	w.Settle(func() reconcile.Reconciler {
		return &cluster.Reconciler{Client: w.Client, Clients: w.Clients(), Poller: cloud.NewPoller()}
	}, providertest.Name, &infrav1.MGKCluster{})
}

func reason(m *infrav1.MGKMachine) string {
	return conditions.GetReason(m, infrav1.InstanceReadyCondition)
}

func TestWaits(t *testing.T) {
	w := providertest.New(t)
	settleCluster(w)
	w.AddMachine("node-1", false, false)
	settle(w, "node-1")
	if got := reason(w.MGKMachine("node-1")); got != "WaitingForClusterInfrastructure" {
		t.Errorf("reason %s", got)
	}
	w.MarkInfrastructureProvisioned()
	settle(w, "node-1")
	if got := reason(w.MGKMachine("node-1")); got != "WaitingForBootstrapData" {
		t.Errorf("reason %s", got)
	}
	if n := len(w.Cloud.Instances()); n != 0 {
		t.Errorf("%d instances before there is start-up data", n)
	}
	w.AddBootstrapData("node-1", "#cloud-config\n# hello\n")
	settle(w, "node-1")
	i := w.Cloud.Instances()[0]
	if got := string(w.Cloud.UserData(i.ID)); got != "#cloud-config\n# hello\n" {
		t.Errorf("user data %q", got)
	}
}

func TestCreate(t *testing.T) {
	for _, tt := range []struct {
		name         string
		controlPlane bool
		role         string
		targets      int
	}{
		{"cp-1", true, cloud.ControlPlane, 1},
		{"node-1", false, cloud.Node, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := withCluster(providertest.New(t))
			w.AddMachine(tt.name, tt.controlPlane, true)
			settle(w, tt.name)
			m, i := w.MGKMachine(tt.name), w.Cloud.Instances()[0]
			if !ptr.Deref(m.Status.Initialization.Provisioned, false) || !conditions.IsTrue(m, clusterv1.ReadyCondition) {
				t.Fatalf("not provisioned: %+v", m.Status)
			}
			if want := "magalu://br-se1-a/" + i.ID; m.Spec.ProviderID != want || m.Status.FailureDomain != "br-se1-a" {
				t.Errorf("provider id %s, failure domain %s", m.Spec.ProviderID, m.Status.FailureDomain)
			}
			if a := m.Status.Addresses[0]; a.Type != clusterv1.MachineInternalIP || a.Address != i.PrivateIPv4() {
				t.Errorf("addresses %v, VM has %s", m.Status.Addresses, i.PrivateIPv4())
			}
			if !i.HasLabel("mke.cluster-id="+providertest.ClusterID) || !i.HasLabel("mke.machine="+providertest.Namespace+"/"+tt.name) {
				t.Errorf("labels %v", i.Labels)
			}
			if got := groupName(w, i.PrimaryInterface().SecurityGroups[0]); got != cloud.SecurityGroupName(providertest.ClusterID, tt.role) {
				t.Errorf("security group %s", got)
			}
			if got := len(w.Cloud.LoadBalancers()[0].Backends[0].Targets); got != tt.targets {
				t.Errorf("%d targets, want %d", got, tt.targets)
			}
			if len(w.Cloud.PublicIPs()) != 1 {
				t.Error("the VM has a public address")
			}
		})
	}
}

func groupName(w *providertest.World, id string) string {
	for _, g := range w.Cloud.SecurityGroups() {
		if g.ID == id {
			return g.Name
		}
	}
	return ""
}

func TestControlPlaneIsTargetBeforeItRuns(t *testing.T) {
	w := providertest.New(t)
	w.Cloud.Steps = 4
	withCluster(w)
	w.AddMachine("cp-1", true, true)
	r := reconciler(w)
	for range 10 {
		_, _ = w.ReconcileOnce(context.Background(), r, "cp-1")
		if len(w.Cloud.LoadBalancers()[0].Backends[0].Targets) == 1 {
			break
		}
	}
	if state := w.Cloud.Instances()[0].State; state != mgc.InstanceNew {
		t.Errorf("the VM was %s when it became a target", state)
	}
}

func TestSettledMachinesCostNothing(t *testing.T) {
	w := withCluster(providertest.New(t))
	w.AddMachine("cp-1", true, true)
	settle(w, "cp-1")
	r := reconciler(w)
	_, _ = w.ReconcileOnce(context.Background(), r, "cp-1")
	w.Cloud.ResetCalls()
	for range 5 {
		result, err := w.ReconcileOnce(context.Background(), r, "cp-1")
		if err != nil || result.RequeueAfter != cloud.SettledRecheck {
			t.Fatalf("%v %v", result, err)
		}
	}
	if calls := w.Cloud.Calls(); len(calls) > 0 {
		t.Errorf("calls %v", calls)
	}
}

func TestLife(t *testing.T) {
	addOther := func(w *providertest.World) {
		w.Cloud.AddInstance("other", "br-se1-a", "BV2-4-40", cloud.Mark(providertest.ClusterID))
	}
	for _, tt := range []struct {
		name   string
		happen func(w *providertest.World, id string)
		reason string
	}{
		{"gone", func(w *providertest.World, id string) {
			addOther(w)
			w.Cloud.RemoveInstance(id)
		}, "Gone"},
		{"another tenant's view", func(w *providertest.World, id string) { w.Cloud.RemoveInstance(id) }, "Running"},
		{"stopped", func(w *providertest.World, id string) {
			w.Cloud.SetInstance(id, mgc.InstanceStopped, mgc.InstanceCompleted)
		}, "NotRunning"},
		{"error", func(w *providertest.World, id string) { w.Cloud.SetInstance(id, mgc.InstanceError, "starting_error") }, "Failed"},
		{"cloud cannot tell", func(w *providertest.World, id string) {
			w.Cloud.RemoveInstance(id)
			w.Cloud.Inject(mgctest.Fault{Path: "/compute", Status: 500})
		}, "Running"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := withCluster(providertest.New(t))
			w.AddMachine("node-1", false, true)
			settle(w, "node-1")
			tt.happen(w, w.Cloud.Instances()[0].ID)
			r := reconciler(w) // with a fresh list
			_, _ = w.ReconcileOnce(context.Background(), r, "node-1")
			m := w.MGKMachine("node-1")
			if got := reason(m); got != tt.reason {
				t.Errorf("reason %s, want %s", got, tt.reason)
			}
			if !ptr.Deref(m.Status.Initialization.Provisioned, false) || m.Spec.ProviderID == "" {
				t.Error("what was provisioned must stay so")
			}
			if tt.reason == "Gone" && len(w.Cloud.Instances()) != 1 {
				t.Error("a VM was made in place of the one that is gone")
			}
		})
	}
}

func TestFailedCreationIsTriedAgain(t *testing.T) {
	w := withCluster(providertest.New(t))
	w.Cloud.SetInstanceQuota(1)
	w.Cloud.AddInstance("other", "br-se1-a", "BV2-4-40")
	w.AddMachine("node-1", false, true)
	r := reconciler(w)
	for range 8 {
		_, _ = w.ReconcileOnce(context.Background(), r, "node-1")
	}
	m := w.MGKMachine("node-1")
	if c := conditions.Get(m, infrav1.InstanceReadyCondition); c.Reason != "Failed" || !strings.Contains(c.Message, "instance quota exceeded") {
		t.Fatalf("condition %+v", c)
	}
	w.Cloud.SetInstanceQuota(0)
	for n := range m.Status.Conditions { // time passes
		m.Status.Conditions[n].LastTransitionTime = metav1.NewTime(time.Now().Add(-time.Minute))
	}
	if err := w.Client.Status().Update(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	settle(w, "node-1")
	if m := w.MGKMachine("node-1"); !ptr.Deref(m.Status.Initialization.Provisioned, false) {
		t.Errorf("status %+v", m.Status)
	}
	if n := len(w.Cloud.Instances()); n != 2 {
		t.Errorf("%d instances", n)
	}
}

func TestRefusedCreation(t *testing.T) {
	w := withCluster(providertest.New(t))
	w.AddMachine("node-1", false, false)
	w.AddBootstrapData("node-1", strings.Repeat("x", 60000))
	r := reconciler(w)
	for range 4 {
		_, _ = w.ReconcileOnce(context.Background(), r, "node-1")
	}
	c := conditions.Get(w.MGKMachine("node-1"), infrav1.InstanceReadyCondition)
	if c.Reason != "CreationFailed" || !strings.Contains(c.Message, "larger than the cloud takes") {
		t.Errorf("condition %+v", c)
	}
}

func TestCreateDisturbed(t *testing.T) {
	prepare := func(w *providertest.World) { withCluster(w).AddMachine("cp-1", true, true) }
	providertest.Disturb(t, prepare, func(w *providertest.World) string {
		settle(w, "cp-1")
		m := w.MGKMachine("cp-1")
		return fmt.Sprintf("provisioned=%v ready=%v\n%s", ptr.Deref(m.Status.Initialization.Provisioned, false),
			conditions.IsTrue(m, clusterv1.ReadyCondition), w.Snapshot())
	})
}

func TestDeleteDisturbed(t *testing.T) {
	prepare := func(w *providertest.World) {
		withCluster(w).AddMachine("cp-1", true, true)
		settle(w, "cp-1")
	}
	providertest.Disturb(t, prepare, func(w *providertest.World) string {
		w.Delete(w.MGKMachine("cp-1"))
		settle(w, "cp-1")
		return fmt.Sprintf("exists=%v\n%s", w.Exists("cp-1", &infrav1.MGKMachine{}), w.Snapshot())
	})
}

func TestDeleteOfVanishedControlPlane(t *testing.T) {
	w := withCluster(providertest.New(t))
	w.AddMachine("cp-1", true, true)
	settle(w, "cp-1")
	w.Cloud.RemoveInstance(w.Cloud.Instances()[0].ID)
	w.Delete(w.MGKMachine("cp-1"))
	settle(w, "cp-1")
	if w.Exists("cp-1", &infrav1.MGKMachine{}) {
		t.Error("the machine still exists")
	}
	if n := len(w.Cloud.LoadBalancers()[0].Backends[0].Targets); n != 0 {
		t.Errorf("%d targets are left", n)
	}
}

func TestNewLoadBalancerGetsTargets(t *testing.T) {
	w := withCluster(providertest.New(t))
	w.AddMachine("cp-1", true, true)
	settle(w, "cp-1")
	if err := w.Cloud.Client(t).LoadBalancer.Delete(t.Context(), w.Cloud.LoadBalancers()[0].ID, false); err != nil {
		t.Fatal(err)
	}
	settleCluster(w)
	settleCluster(w)
	settle(w, "cp-1")
	if n := len(w.Cloud.LoadBalancers()[0].Backends[0].Targets); n != 1 {
		t.Errorf("%d targets", n)
	}
}
