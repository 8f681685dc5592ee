package sync

import (
	"testing"

	"k8s.io/utils/ptr"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
)

// TestAutoscaledPool: the record shows what the autoscaler has chosen and says why it is stuck; a number that somebody sets counts until the
// autoscaler has gone on from there.
func TestAutoscaledPool(t *testing.T) {
	e := newEnv(t)
	c := e.create("p1")
	id := c.Pools[0].ID
	patch := func(change func(*db.NodePool)) {
		t.Helper()
		if _, _, err := e.store.PatchNodePool(t.Context(), c.TenantID, c.ID, id, nil, func(_ *db.Cluster, p *db.NodePool) error { change(p); return nil }); err != nil {
			t.Fatal(err)
		}
		e.step()
	}
	report := func(n int32, status *mkev1.AutoscalerStatus) {
		t.Helper()
		var pool mkev1.MGCNodePool
		if err := e.get(&pool, c, "p1"); err != nil {
			t.Fatal(err)
		}
		pool.Status.DesiredReplicas, pool.Status.Autoscaler = n, status
		if err := e.kube.Status().Update(t.Context(), &pool); err != nil {
			t.Fatal(err)
		}
		e.reportPool(c, "p1", mkev1.NodePoolScalingUp, "adding nodes")
	}
	nodes := func(want int32) {
		t.Helper()
		if got := e.load(c).Pools[0].Nodes(); got != want {
			t.Errorf("%d nodes, want %d", got, want)
		}
	}
	patch(func(p *db.NodePool) { p.MinReplicas, p.MaxReplicas = ptr.To[int32](0), ptr.To[int32](9) })
	report(4, &mkev1.AutoscalerStatus{State: mkev1.AutoscalerBlocked, Message: "the quota of instances is used up"})
	nodes(4)
	if got := e.load(c).Pools[0].Autoscaler; got != "autoscaler: the quota of instances is used up" {
		t.Errorf("says %q", got)
	}
	if got := e.operation(c, record.UpdateNodePool).Message; got != "adding nodes; autoscaler: the quota of instances is used up" {
		t.Errorf("the operation says %q", got)
	}
	report(5, &mkev1.AutoscalerStatus{State: mkev1.AutoscalerIdle, Message: "n1 stays: PodDisruptionBudget web/web does not allow it"})
	if got := e.load(c).Pools[0].Autoscaler; got != "autoscaler: n1 stays: PodDisruptionBudget web/web does not allow it" {
		t.Errorf("says %q", got)
	}
	report(5, &mkev1.AutoscalerStatus{State: mkev1.AutoscalerIdle})
	if got := e.load(c).Pools[0].Autoscaler; got != "" {
		t.Errorf("says %q", got)
	}

	patch(func(p *db.NodePool) { p.Replicas, p.LiveReplicas, p.ReplicasRevision = 2, nil, p.Revision+1 })
	nodes(2)
	var pool mkev1.MGCNodePool
	if err := e.get(&pool, c, "p1"); err != nil {
		t.Fatal(err)
	}
	if s := pool.Spec; *s.Replicas != 2 || s.ReplicasRevision != 3 || s.PricePerHour != "0.25" {
		t.Errorf("spec %+v", s)
	}
	report(3, nil)
	nodes(3)
	patch(func(p *db.NodePool) { p.MaxReplicas = ptr.To[int32](2) })
	nodes(2)
}
