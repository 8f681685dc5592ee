package sync

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/record"
)

func TestDeletion(t *testing.T) {
	for name, deleteVolumes := range map[string]bool{"volumes stay": false, "volumes go": true} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t)
			c := e.create("p1")
			e.step()
			e.report(c, mkev1.ClusterRunning, "Ready")
			holdBack(t, e, c)
			if err := e.store.DeleteCluster(t.Context(), c.TenantID, c.ID, deleteVolumes); err != nil {
				t.Fatal(err)
			}
			e.step()
			e.report(c, mkev1.ClusterDeleting, "removing the load balancer")
			if op := e.operation(c, record.DeleteCluster); op.State != record.OperationRunning || op.Message != "removing the load balancer" {
				t.Errorf("operation = %+v", op)
			}
			if got := e.cluster(c).Spec.Deletion.Volumes == mkev1.DeleteData; got != deleteVolumes {
				t.Errorf("the operator is told to delete volumes: %v", got)
			}
			if e.step() {
				t.Error("there is nothing to do while the operator removes things")
			}
			letGo(t, e, c)
			e.observe(c) // records the last report
			e.observe(c) // sees that the cluster is gone
			if !e.step() {
				t.Fatal("the end of the cluster must wake the worker")
			}
			var ns corev1.Namespace
			if err := e.kube.Get(t.Context(), client.ObjectKey{Name: "cluster-" + c.ID.String()}, &ns); !apierrors.IsNotFound(err) {
				t.Errorf("namespace: %v", err)
			}
			if got := e.load(c); got.DeletedAt == nil || len(got.Pools) != 0 {
				t.Errorf("%+v", got)
			}
			if e.step() {
				t.Error("work is left after the end")
			}
		})
	}
}

// What the operator writes in its last breath is in the operation: the cluster waits for it.
func TestListsOfADeletionAreNotLost(t *testing.T) {
	e := newEnv(t)
	c := e.create()
	e.step()
	e.report(c, mkev1.ClusterRunning, "Ready")
	holdBack(t, e, c)
	if err := e.store.DeleteCluster(t.Context(), c.TenantID, c.ID, false); err != nil {
		t.Fatal(err)
	}
	e.step()
	obj := e.cluster(c)
	obj.Status.Deletion = mkev1.DeletionStatus{
		Removed: []mkev1.CloudObject{{Kind: mkev1.LoadBalancerObject, ID: "lb", Name: "mke-x", Service: "default/web", Since: metav1.NewTime(time.Now())}},
		Kept:    []mkev1.CloudObject{{Kind: mkev1.VolumeObject, ID: "vol", Name: "mke-y", SizeGiB: 10}},
	}
	if err := e.kube.Status().Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
	letGo(t, e, c) // nobody has looked since the report
	if obj := e.cluster(c); obj.DeletionTimestamp.IsZero() {
		t.Fatal("it is not being deleted")
	}
	id := e.operation(c, record.DeleteCluster).ID
	e.observe(c)
	e.observe(c)
	e.step()
	op, err := e.store.GetOperation(t.Context(), c.TenantID, id)
	if err != nil {
		t.Fatal(err)
	}
	if op.State != record.OperationSucceeded || len(op.Removed) != 1 || len(op.Kept) != 1 {
		t.Fatalf("operation = %+v", op)
	}
	if op.Removed[0] != (db.CloudObject{Kind: "LoadBalancer", ID: "lb", Name: "mke-x", Service: "default/web"}) ||
		op.Kept[0] != (db.CloudObject{Kind: "Volume", ID: "vol", Name: "mke-y", SizeGiB: 10}) {
		t.Errorf("removed %+v, kept %+v", op.Removed, op.Kept)
	}
}

func (e *env) cluster(c *record.Cluster) *mkev1.MGCCluster {
	e.t.Helper()
	obj := &mkev1.MGCCluster{}
	if err := e.get(obj, c, c.Name); err != nil {
		e.t.Fatal(err)
	}
	return obj
}

// holdBack gives the cluster a finalizer, as the operator does; letGo takes it away.
func holdBack(t *testing.T, e *env, c *record.Cluster) {
	setFinalizers(t, e, c, []string{recordFinalizer, "test/hold"})
}

func letGo(t *testing.T, e *env, c *record.Cluster) {
	setFinalizers(t, e, c, []string{recordFinalizer})
}

func setFinalizers(t *testing.T, e *env, c *record.Cluster, finalizers []string) {
	t.Helper()
	obj := e.cluster(c)
	obj.Finalizers = finalizers
	if err := e.kube.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func TestDeletionBeforeAnythingWasApplied(t *testing.T) {
	e := newEnv(t)
	c := e.create("p1")
	if err := e.store.DeleteCluster(t.Context(), c.TenantID, c.ID, true); err != nil {
		t.Fatal(err)
	}
	e.step()
	if e.load(c).DeletedAt == nil {
		t.Error("not deleted")
	}
}

// Volumes are known by the first 8 characters of the cluster's id.
func TestNoTwoClustersShareAShortID(t *testing.T) {
	e := newEnv(t)
	first := e.create()
	same := e.template("c2")
	same.ID = first.ID
	same.ID[15]++
	second, err := e.store.CreateCluster(t.Context(), &record.Cluster{Cluster: same, Pools: []db.NodePool{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := first.ID.String()[:8], second.ID.String()[:8]; a == b {
		t.Errorf("both clusters are %s", a)
	}
}
