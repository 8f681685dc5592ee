package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	"magalu.cloud/mke/internal/testpg"
)

func TestMain(m *testing.M) { os.Exit(testpg.Run(m)) }

// env is the record on a real database beside a fake management cluster.
type env struct {
	t        *testing.T
	store    *record.Store
	kube     client.Client
	worker   *Worker
	observer *Observer
	refuse   error // answer of the management cluster to every write, nil to accept them
}

func newEnv(t *testing.T) *env {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), testpg.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := db.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), mkev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	e := &env{t: t, store: record.New(pool)}
	e.kube = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(&mkev1.MGCCluster{}, &mkev1.MGCNodePool{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
				if e.refuse != nil {
					return e.refuse
				}
				return c.Apply(ctx, obj, opts...)
			},
			Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
				if e.refuse != nil {
					return e.refuse
				}
				return c.Delete(ctx, obj, opts...)
			},
		}).Build()
	e.worker = &Worker{Store: e.store, Kube: e.kube, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Prices: &price.Table{Flavors: map[string]float64{"BV4-8-40": 0.25}}}
	e.observer = &Observer{Store: e.store, Kube: e.kube, Live: e.kube}
	return e
}

func (e *env) create(pools ...string) *record.Cluster {
	e.t.Helper()
	subnets := []db.Subnet{{ID: "s1", Zone: "br-se1-a", CIDR: "172.26.0.0/20"}}
	c := &record.Cluster{Cluster: db.Cluster{
		ID: uuid.New(), TenantID: uuid.NewString(), Name: "c1", Region: "br-se1", Version: "v1.34.2", AllowedCidrs: []string{"10.0.0.0/8"},
		PodsCidr: "192.168.0.0/16", ServicesCidr: "10.96.0.0/12", VpcID: "v", Subnets: subnets, ControlPlaneFlavor: "BV2-4-40",
		ControlPlaneReplicas: 1, RequestHash: []byte{}, CreatedAt: time.Now(), Revision: 1,
	}}
	for _, name := range pools {
		c.Pools = append(c.Pools, db.NodePool{ID: uuid.New(), ClusterID: c.ID, Name: name, Flavor: "BV4-8-40", Version: "v1.34.2",
			InitialReplicas: 1, Replicas: 1, MaxPods: 110, Labels: map[string]string{"a": "b"}, Subnets: subnets, Tags: []string{},
			Taints: []db.Taint{{Key: "k", Effect: "NoSchedule"}}, RequestHash: []byte{}, CreatedAt: time.Now(), Revision: 1})
	}
	c, err := e.store.CreateCluster(e.t.Context(), c, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return c
}

// step works on one outbox row and says whether there was one.
func (e *env) step() bool {
	e.t.Helper()
	worked, err := e.worker.Step(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return worked
}

func (e *env) observe(c *record.Cluster) {
	e.t.Helper()
	if _, err := e.observer.Reconcile(e.t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: c.ID.String()}}); err != nil {
		e.t.Fatal(err)
	}
}

func (e *env) load(c *record.Cluster) *record.Cluster {
	e.t.Helper()
	loaded, err := e.store.LoadCluster(e.t.Context(), c.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	return loaded
}

func (e *env) operation(c *record.Cluster, kind string) *db.Operation {
	e.t.Helper()
	ops, err := e.store.ListOperations(e.t.Context(), c.TenantID, c.ID, 100, 0)
	if err != nil {
		e.t.Fatal(err)
	}
	for i := range ops {
		if ops[i].Kind == kind {
			return &ops[i]
		}
	}
	e.t.Fatalf("there is no operation %s", kind)
	return nil
}

func (e *env) get(obj client.Object, c *record.Cluster, name string) error {
	return e.kube.Get(e.t.Context(), client.ObjectKey{Namespace: mkev1.ClusterNamespace(c.ID.String()), Name: name}, obj)
}

// report plays the operator: conditions that are true, phase and message of the cluster.
func (e *env) report(c *record.Cluster, phase mkev1.ClusterPhase, message string, conditions ...string) {
	e.t.Helper()
	var obj mkev1.MGCCluster
	if err := e.get(&obj, c, c.Name); err != nil {
		e.t.Fatal(err)
	}
	obj.Status.Phase, obj.Status.Message, obj.Status.ObservedGeneration = phase, message, obj.Generation
	obj.Status.ControlPlaneEndpoint = mkev1.Endpoint{Host: "198.18.0.9", Port: 6443}
	for _, name := range conditions {
		meta.SetStatusCondition(&obj.Status.Conditions, metav1.Condition{Type: name, Status: metav1.ConditionTrue, Reason: "Ready"})
	}
	if err := e.kube.Status().Update(e.t.Context(), &obj); err != nil {
		e.t.Fatal(err)
	}
	e.observe(c)
}

func (e *env) reportPool(c *record.Cluster, name string, phase mkev1.NodePoolPhase, message string) {
	e.t.Helper()
	var obj mkev1.MGCNodePool
	if err := e.get(&obj, c, name); err != nil {
		e.t.Fatal(err)
	}
	obj.Status.Phase, obj.Status.Message, obj.Status.ObservedGeneration = phase, message, obj.Generation
	if err := e.kube.Status().Update(e.t.Context(), &obj); err != nil {
		e.t.Fatal(err)
	}
	e.observe(c)
}

func TestCreationReachesTheManagementCluster(t *testing.T) {
	e := newEnv(t)
	c := e.create("p1")
	if !e.step() || e.step() {
		t.Fatal("one creation is one piece of work")
	}
	var ns corev1.Namespace
	if err := e.kube.Get(t.Context(), client.ObjectKey{Name: "cluster-" + c.ID.String()}, &ns); err != nil || ns.Labels[mkev1.TenantIDLabel] != c.TenantID {
		t.Errorf("namespace: %v %v", err, ns.Labels)
	}
	var cluster mkev1.MGCCluster
	if err := e.get(&cluster, c, "c1"); err != nil {
		t.Fatal(err)
	}
	if s := cluster.Spec; s.ClusterID != c.ID.String() || s.PodsCIDR != "192.168.0.0/16" || s.Network.Subnets[0].ID != "s1" || s.AllowedCIDRs[0] != "10.0.0.0/8" {
		t.Errorf("spec = %+v", s)
	}
	var pool mkev1.MGCNodePool
	if err := e.get(&pool, c, "p1"); err != nil {
		t.Fatal(err)
	}
	if s := pool.Spec; s.ClusterRef.Name != "c1" || s.InitialReplicas != 1 || s.Replicas != nil || s.AutoScale != nil || s.Taints[0].Key != "k" || pool.Labels[mkev1.NodePoolIDLabel] != s.NodePoolID {
		t.Errorf("pool = %+v %v", s, pool.Labels)
	}
}

func TestPhasesOfACreation(t *testing.T) {
	e := newEnv(t)
	c := e.create("p1")
	e.step()
	e.observe(c)
	progress := func() string {
		op := e.operation(c, record.CreateCluster)
		running := ""
		for _, p := range op.Phases {
			if p.State == record.OperationRunning {
				running += p.Name
			}
			if (p.FinishedAt != nil) != (p.State == record.OperationSucceeded) || p.FinishedAt != nil && p.FinishedAt.Before(*p.StartedAt) {
				t.Errorf("phase %+v", p)
			}
		}
		return fmt.Sprintf("%s %d%% %s: %s", op.State, op.Percentage, running, op.Message)
	}
	check := func(state, want string) {
		t.Helper()
		if got := progress(); got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
		if got := e.load(c).State; got != state {
			t.Errorf("state %s, want %s", got, state)
		}
	}
	check("Pending", "Running 14% Credentials: waiting to be provisioned")
	e.report(c, mkev1.ClusterProvisioning, "waiting for the load balancer", mkev1.CredentialsReadyCondition)
	check("Provisioning", "Running 28% Infrastructure: waiting for the load balancer")
	e.report(c, mkev1.ClusterProvisioning, `clusters.cluster.x-k8s.io "c1" not found`, mkev1.InfrastructureReadyCondition)
	check("Provisioning", "Running 42% APIServer: the platform is working on it")
	e.report(c, mkev1.ClusterRunning, "Ready", mkev1.APIServerReadyCondition, mkev1.AddonsReadyCondition, mkev1.ControlPlaneReadyCondition)
	check("Running", "Running 85% NodePools: p1: waiting for the cluster")
	if got := e.load(c); got.EndpointHost != "198.18.0.9" || got.EndpointPort != 6443 {
		t.Errorf("endpoint %s:%d", got.EndpointHost, got.EndpointPort)
	}
	e.reportPool(c, "p1", mkev1.NodePoolScalingUp, "0 of 1 nodes are ready")
	check("Running", "Running 85% NodePools: p1: 0 of 1 nodes are ready")
	e.reportPool(c, "p1", mkev1.NodePoolRunning, "ready")
	check("Running", "Succeeded 100% : done")
}

func TestFailedCreation(t *testing.T) {
	e := newEnv(t)
	c := e.create()
	e.step()
	e.report(c, mkev1.ClusterFailed, "the quota of public addresses is used up")
	op := e.operation(c, record.CreateCluster)
	if op.State != record.OperationFailed || len(op.Errors) != 1 || op.Errors[0].Message != "the quota of public addresses is used up" || op.FinishedAt != nil {
		t.Errorf("operation = %+v", op)
	}
	// The customer got more quota: it goes on.
	e.report(c, mkev1.ClusterProvisioning, "waiting for the load balancer")
	if op := e.operation(c, record.CreateCluster); op.State != record.OperationRunning || len(op.Errors) != 0 || op.Phases[1].State != record.OperationRunning {
		t.Errorf("operation = %+v", op)
	}
}

// What is reported about an older revision must not make a changed pool look finished.
func TestOldStatusIsNotBelieved(t *testing.T) {
	e := newEnv(t)
	c := e.create("p1")
	e.step()
	e.report(c, mkev1.ClusterRunning, "Ready")
	e.reportPool(c, "p1", mkev1.NodePoolRunning, "ready")
	_, _, err := e.store.PatchNodePool(t.Context(), c.TenantID, c.ID, c.Pools[0].ID, nil, func(_ *db.Cluster, p *db.NodePool) error {
		p.Replicas = 3
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	e.observe(c)
	if got := e.load(c).Pools[0].State; got != record.StateScalingUp {
		t.Errorf("before the change is applied the state is %s", got)
	}
	e.step()
	var pool mkev1.MGCNodePool
	if err := e.get(&pool, c, "p1"); err != nil || pool.Spec.Replicas == nil || *pool.Spec.Replicas != 3 || pool.Status.Phase != mkev1.NodePoolRunning {
		t.Fatalf("%v %+v", err, pool)
	}
	if pool.Status.ObservedGeneration < pool.Generation { // the fake client counts generations like an API server
		e.observe(c)
		if got := e.load(c).Pools[0].State; got != record.StateScalingUp {
			t.Errorf("before the operator has seen the change the state is %s", got)
		}
	}
	e.reportPool(c, "p1", mkev1.NodePoolRunning, "ready")
	if op := e.operation(c, record.UpdateNodePool); op.State != record.OperationSucceeded {
		t.Errorf("operation = %+v", op)
	}
}

// A change is done when all of the cluster is as wanted again, not when the operator says Running, which it always does.
func TestUpdate(t *testing.T) {
	e := newEnv(t)
	c := e.create()
	e.step()
	e.report(c, mkev1.ClusterRunning, "Ready", mkev1.ClusterReadyCondition)
	if _, err := e.store.PatchCluster(t.Context(), c.TenantID, c.ID, func(c *db.Cluster) error { c.Version = "v1.35.4"; return nil }); err != nil {
		t.Fatal(err)
	}
	e.step()
	check := func(version, state, operation string) {
		t.Helper()
		var obj mkev1.MGCCluster
		if err := e.get(&obj, c, c.Name); err != nil {
			t.Fatal(err)
		}
		obj.Status.Version = version
		if err := e.kube.Status().Update(t.Context(), &obj); err != nil {
			t.Fatal(err)
		}
		e.report(c, mkev1.ClusterRunning, "upgrading", mkev1.ClusterReadyCondition)
		if got, op := e.load(c).State, e.operation(c, record.UpdateCluster).State; got != state || op != operation {
			t.Errorf("cluster %s, operation %s", got, op)
		}
	}
	check("v1.34.2", record.StateProvisioning, record.OperationRunning)
	check("v1.35.4", record.StateRunning, record.OperationSucceeded)
}

func TestNodePoolDeletion(t *testing.T) {
	e := newEnv(t)
	c := e.create("p1", "p2")
	e.step()
	if err := e.store.DeleteNodePool(t.Context(), c.TenantID, c.ID, c.Pools[0].ID); err != nil {
		t.Fatal(err)
	}
	e.step()
	if got := e.load(c); len(got.Pools) != 1 || got.Pools[0].Name != "p2" {
		t.Errorf("pools = %+v", got.Pools)
	}
	if op := e.operation(c, record.DeleteNodePool); op.State != record.OperationSucceeded {
		t.Errorf("operation = %+v", op)
	}
}

func TestManagementClusterAway(t *testing.T) {
	e := newEnv(t)
	c := e.create()
	e.refuse = errors.New("connection refused")
	e.step()
	if op := e.operation(c, record.CreateCluster); op.State != record.OperationRunning || op.Message != "waiting for the management cluster, which does not accept the change yet" {
		t.Errorf("operation = %+v", op)
	}
	if due, err := e.store.NextDue(t.Context(), time.Hour); err != nil || due <= 0 || due > time.Second {
		t.Errorf("due in %v, %v", due, err)
	}
	e.refuse = nil
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { _ = e.worker.Run(ctx, 2) }()
	for {
		if n, err := e.store.Backlog(ctx); err != nil {
			t.Fatal(err)
		} else if n == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	var obj mkev1.MGCCluster
	if err := e.get(&obj, c, c.Name); err != nil {
		t.Error(err)
	}
}

// Two processes share the outbox: every cluster arrives, none twice at once.
func TestTwoWorkers(t *testing.T) {
	e := newEnv(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	other := *e.worker
	for _, w := range []*Worker{e.worker, &other} {
		go func() { _ = w.Run(ctx, 2) }()
	}
	for i := range 20 {
		c := &record.Cluster{Cluster: e.template(fmt.Sprintf("c%d", i))}
		if _, err := e.store.CreateCluster(ctx, c, nil); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if n, err := e.store.Backlog(ctx); err != nil {
			t.Fatal(err)
		} else if n == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	var list mkev1.MGCClusterList
	if err := e.kube.List(ctx, &list); err != nil || len(list.Items) != 20 {
		t.Errorf("%d clusters, %v", len(list.Items), err)
	}
}

func (e *env) template(name string) db.Cluster {
	return db.Cluster{ID: uuid.New(), TenantID: "t", Name: name, Version: "v1.34.2", AllowedCidrs: []string{}, Subnets: []db.Subnet{},
		RequestHash: []byte{}, CreatedAt: time.Now(), Revision: 1}
}

// A cluster that changes while a worker is busy with it is looked at again.
func TestChangeDuringWork(t *testing.T) {
	e := newEnv(t)
	c := e.create()
	row, err := e.store.Lease(t.Context(), time.Minute)
	if err != nil || row == nil {
		t.Fatal(row, err)
	}
	if other, err := e.store.Lease(t.Context(), time.Minute); err != nil || other != nil {
		t.Fatalf("leased twice: %v %v", other, err)
	}
	if err := e.store.DeleteCluster(t.Context(), c.TenantID, c.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := e.store.Finish(t.Context(), row); err != nil {
		t.Fatal(err)
	}
	if !e.step() {
		t.Error("the change was lost")
	}
}

func TestPublicMessages(t *testing.T) {
	for message, want := range map[string]string{
		"waiting for the load balancer":                                      "waiting for the load balancer",
		"waiting for 2 of 3 nodes":                                           "waiting for 2 of 3 nodes",
		`admission webhook "x" denied the request`:                           "the platform is working on it",
		`machines.cluster.x-k8s.io is forbidden`:                             "the platform is working on it",
		`Reconciler error`:                                                   "the platform is working on it",
		`mgkmachines.infrastructure.cluster.x-k8s.io "a" could not be found`: "the platform is working on it",
	} {
		if got := public(message); got != want {
			t.Errorf("public(%q) = %q", message, got)
		}
	}
}
