// Package providertest is a small world for tests of the provider: a fake cloud, a fake management cluster with one cluster in it,
// and a stand-in for Cluster API.
package providertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/provider/cloud"
)

const (
	// Namespace of everything.
	Namespace = "cluster-test"
	// Name of the Cluster and the MGKCluster.
	Name = "meu-cluster"
	// ClusterID of the cluster.
	ClusterID = "5d3c1f0e-0000-4000-8000-000000000001"
	// SecretName of the credentials.
	SecretName = "magalu-credentials"
)

func init() { log.SetLogger(logr.Discard()) }

// World is the test's world.
type World struct {
	Cloud  *mgctest.Cloud
	Client client.Client
	// Process returns the context of a process that reconciles. Cancelling it kills the process.
	Process func() context.Context

	t testing.TB
}

// New returns a world in which Cluster API has linked the MGKCluster, and nothing exists in the cloud.
func New(t testing.TB) *World {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, clusterv1.AddToScheme, infrav1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	w := &World{Cloud: mgctest.New(t), Process: t.Context, t: t}
	cluster, mgk := w.cluster()
	w.Client = fake.NewClientBuilder().WithScheme(scheme).
		WithStatusSubresource(&infrav1.MGKCluster{}, &infrav1.MGKMachine{}, &clusterv1.Cluster{}, &clusterv1.Machine{}).
		WithInterceptorFuncs(interceptor.Funcs{Patch: patchIfAlive, SubResourcePatch: statusPatchIfAlive}).
		WithObjects(cluster, mgk, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: SecretName},
			Data:       map[string][]byte{"api-key": []byte(mgctest.TenantKey)},
		}).Build()
	return w
}

func (w *World) cluster() (*clusterv1.Cluster, *infrav1.MGKCluster) {
	vpc, subnets := w.Cloud.DefaultVPC()
	cluster := &clusterv1.Cluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name, UID: "cluster-uid"},
		Spec: clusterv1.ClusterSpec{InfrastructureRef: clusterv1.ContractVersionedObjectReference{
			APIGroup: infrav1.GroupVersion.Group, Kind: "MGKCluster", Name: Name}},
	}
	mgk := &infrav1.MGKCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: Name, Labels: map[string]string{clusterv1.ClusterNameLabel: Name},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: "Cluster", Name: Name, UID: cluster.UID}}},
		Spec: infrav1.MGKClusterSpec{ClusterID: ClusterID, Region: mgctest.Region, CredentialsSecretName: SecretName, VPCID: vpc.ID},
	}
	for _, sn := range subnets {
		mgk.Spec.Subnets = append(mgk.Spec.Subnets, infrav1.Subnet{ID: sn.ID, Zone: mgctest.Region + "-" + sn.Zone, CIDR: sn.CIDRBlock})
	}
	return cluster, mgk
}

// A dead process writes nothing: the fake client does not look at contexts by itself.
func patchIfAlive(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.Patch(ctx, o, p, opts...)
}

func statusPatchIfAlive(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return c.SubResource(sub).Patch(ctx, o, p, opts...)
}

// Clients returns the client cache of a fresh process.
func (w *World) Clients() *cloud.Clients {
	hc, err := mgc.NewHTTPClient("")
	if err != nil {
		w.t.Fatal(err)
	}
	return &cloud.Clients{Cached: w.Client, Live: w.Client, Endpoint: w.Cloud.Endpoint(), HTTP: hc}
}

// MGKCluster returns the current MGKCluster.
func (w *World) MGKCluster() *infrav1.MGKCluster {
	w.t.Helper()
	c := &infrav1.MGKCluster{}
	w.Get(Name, c)
	return c
}

// Get reads an object of the namespace.
func (w *World) Get(name string, o client.Object) {
	w.t.Helper()
	if err := w.Client.Get(context.Background(), client.ObjectKey{Namespace: Namespace, Name: name}, o); err != nil {
		w.t.Fatal(err)
	}
}

// Exists is true if the object is there.
func (w *World) Exists(name string, o client.Object) bool {
	w.t.Helper()
	err := w.Client.Get(context.Background(), client.ObjectKey{Namespace: Namespace, Name: name}, o)
	if client.IgnoreNotFound(err) != nil {
		w.t.Fatal(err)
	}
	return err == nil
}

// MarkInfrastructureProvisioned does what Cluster API does once the MGKCluster is provisioned.
func (w *World) MarkInfrastructureProvisioned() {
	w.t.Helper()
	c := &clusterv1.Cluster{}
	w.Get(Name, c)
	c.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
	w.must(w.Client.Status().Update(context.Background(), c))
}

// AddMachine makes a Machine with its MGKMachine; bootstrap says whether its start-up data is ready.
func (w *World) AddMachine(name string, controlPlane, bootstrap bool) {
	w.t.Helper()
	labels := map[string]string{clusterv1.ClusterNameLabel: Name}
	if controlPlane {
		labels[clusterv1.MachineControlPlaneLabel] = ""
	} else {
		labels[clusterv1.MachineDeploymentNameLabel] = "pool"
	}
	m := &clusterv1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Labels: labels},
		Spec: clusterv1.MachineSpec{ClusterName: Name, InfrastructureRef: clusterv1.ContractVersionedObjectReference{
			APIGroup: infrav1.GroupVersion.Group, Kind: "MGKMachine", Name: name}},
	}
	mgk := &infrav1.MGKMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name, Labels: labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: "Machine", Name: name, UID: "uid"}}},
		Spec: infrav1.MGKMachineSpec{MachineType: "BV2-4-40", Image: "cloud-mke-node-v1.34.2"},
	}
	w.must(w.Client.Create(context.Background(), m))
	w.must(w.Client.Create(context.Background(), mgk))
	if bootstrap {
		w.AddBootstrapData(name, "#cloud-config\n")
	}
}

// AddBootstrapData gives a Machine its start-up data.
func (w *World) AddBootstrapData(name, data string) {
	w.t.Helper()
	m := &clusterv1.Machine{}
	w.Get(name, m)
	m.Spec.Bootstrap.DataSecretName = ptr.To(name)
	w.must(w.Client.Update(context.Background(), m))
	w.must(w.Client.Create(context.Background(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: name},
		Data: map[string][]byte{"value": []byte(data)}}))
}

// Delete asks for an object's deletion.
func (w *World) Delete(o client.Object) {
	w.t.Helper()
	w.must(w.Client.Delete(context.Background(), o))
}

func (w *World) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// Settle reconciles an object, as its events and requeues would, until nothing is left to do or it is gone. Each time the process
// has been killed, build makes the reconciler of the next one.
func (w *World) Settle(build func() reconcile.Reconciler, name string, o client.Object) {
	w.t.Helper()
	var ctx context.Context
	var r reconcile.Reconciler
	for range 200 {
		if ctx == nil || ctx.Err() != nil {
			ctx, r = w.Process(), build()
		}
		before := w.version(name, o)
		result, err := r.Reconcile(ctx, request(name))
		quiet := err == nil && (result.RequeueAfter == 0 || result.RequeueAfter >= time.Minute)
		if after := w.version(name, o); after == "" || (quiet && after == before) {
			return
		}
	}
	w.t.Fatalf("%T %s does not settle", o, name)
}

func (w *World) version(name string, o client.Object) string {
	if !w.Exists(name, o) {
		return ""
	}
	return o.GetResourceVersion()
}

func request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: Namespace, Name: name}}
}

// ReconcileOnce reconciles once with a context that can be cancelled like a process can be killed.
func (w *World) ReconcileOnce(ctx context.Context, r reconcile.Reconciler, name string) (reconcile.Result, error) {
	return r.Reconcile(ctx, request(name))
}

// Snapshot describes everything in the cloud without ids, to compare the ends of two histories.
func (w *World) Snapshot() string {
	var lines []string
	for _, lb := range w.Cloud.LoadBalancers() {
		if lb.Status == mgc.LoadBalancerUpdating { // the same, a moment earlier
			lb.Status = mgc.LoadBalancerRunning
		}
		lines = append(lines, fmt.Sprintf("load balancer %s %s targets=%d acls=%d", lb.Name, lb.Status, len(lb.Backends[0].Targets), len(lb.ACLs)))
	}
	for _, g := range w.Cloud.SecurityGroups() {
		lines = append(lines, fmt.Sprintf("security group %s rules=%d", g.Name, len(w.Cloud.Rules(g.ID))))
	}
	for _, i := range w.Cloud.Instances() {
		lines = append(lines, fmt.Sprintf("instance %s %s %s", i.Name, i.State, i.AvailabilityZone))
	}
	lines = append(lines, fmt.Sprintf("public addresses %d", len(w.Cloud.PublicIPs())))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Disturb runs history once undisturbed to count its cloud calls, then again with each call going wrong in each way, in a new world
// each time, which prepare makes ready without disturbance. History returns a description of the end, which must always be the same.
func Disturb(t *testing.T, prepare func(*World), history func(*World) string) {
	undisturbed := New(t)
	prepare(undisturbed)
	undisturbed.Cloud.ResetCalls()
	want := history(undisturbed)
	for n, call := range undisturbed.Cloud.Calls() {
		for _, way := range ways {
			if way.mutatingOnly && !call.Mutates() {
				continue
			}
			t.Run(fmt.Sprintf("%s at call %d %s %s", way.name, n+1, call.Method, lastSegments(call.Path)), func(t *testing.T) {
				t.Parallel()
				w := New(t)
				prepare(w)
				fault := way.fault
				fault.Skip = n
				if way.crash {
					doomed, kill := context.WithCancel(t.Context())
					fault.Strike = kill
					w.Process = func() context.Context {
						if doomed.Err() != nil {
							return t.Context()
						}
						return doomed
					}
				}
				w.Cloud.Inject(fault)
				if got := history(w); got != want {
					t.Errorf("the end is\n%s\nundisturbed it is\n%s", got, want)
				}
			})
		}
	}
}

var ways = []struct {
	name         string
	fault        mgctest.Fault
	crash        bool
	mutatingOnly bool
}{
	{name: "error 500", fault: mgctest.Fault{Status: 500, Times: 3}},
	{name: "rate limit", fault: mgctest.Fault{Status: 429, Times: 1}},
	{name: "lost answer", fault: mgctest.Fault{Done: true, Times: 1}, mutatingOnly: true},
	{name: "error after the work", fault: mgctest.Fault{Done: true, Status: 504, Times: 1}, mutatingOnly: true},
	{name: "crash before", fault: mgctest.Fault{Times: 1}, crash: true},
	{name: "crash after", fault: mgctest.Fault{Done: true, Times: 1}, crash: true, mutatingOnly: true},
}

func lastSegments(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}

// MGKMachine returns the current MGKMachine of that name.
func (w *World) MGKMachine(name string) *infrav1.MGKMachine {
	w.t.Helper()
	m := &infrav1.MGKMachine{}
	w.Get(name, m)
	return m
}
