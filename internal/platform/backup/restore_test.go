package backup

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
	mkesync "magalu.cloud/mke/internal/mkeapi/sync"
	"magalu.cloud/mke/internal/testenv"
	"magalu.cloud/mke/internal/testpg"
)

var config *rest.Config

func TestMain(m *testing.M) {
	os.Exit(testenv.Main(m, &config))
}

// site is a platform: a database and a management cluster. The management cluster is one for all tests.
type site struct {
	*testing.T
	database *pgx.ConnConfig
	kube     client.Client
}

func newSite(t *testing.T) *site {
	t.Helper()
	server, err := testpg.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	url, err := server.NewDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, mkev1.AddToScheme, clusterv1.AddToScheme, infrav1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{T: t}
	if s.database, err = pgx.ParseConfig(url); err != nil {
		t.Fatal(err)
	}
	if s.kube, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *site) store() *record.Store {
	s.Helper()
	pool, err := db.Open(s.Context(), s.database.ConnString())
	s.must(err)
	s.Cleanup(pool.Close)
	return record.New(pool)
}

func (s *site) query(sql string, args ...any) (n int) {
	s.Helper()
	pool, err := pgxpool.New(s.Context(), s.database.ConnString())
	s.must(err)
	defer pool.Close()
	s.must(pool.QueryRow(s.Context(), sql, args...).Scan(&n))
	return n
}

// populate makes a cluster with a pool in the database, and what operators make of it in the management cluster.
func (s *site) populate(name string) *record.Cluster {
	s.Helper()
	ctx := s.Context()
	s.must(db.MigrateTo(ctx, s.database, db.Latest()))
	store := s.store()
	c := &record.Cluster{Cluster: db.Cluster{ID: uuid.New(), TenantID: tenant, Name: name, Region: "br-se1", Version: "v1.34.2", AllowedCidrs: []string{}, PodsCidr: "192.168.0.0/16",
		ServicesCidr: "10.96.0.0/12", VpcID: "vpc", Subnets: []db.Subnet{{ID: "s", Zone: "br-se1-a", CIDR: "172.16.0.0/20"}}, ControlPlaneFlavor: "BV2-4-40", ControlPlaneReplicas: 1,
		RequestHash: []byte("h\x00\t\\"), CreatedAt: record.Now(), Cni: "calico"}}
	c.Pools = []db.NodePool{{ID: uuid.New(), ClusterID: c.ID, Name: "pool", Flavor: "BV4-8-40", Version: "v1.34.2", InitialReplicas: 1, Replicas: 1, MaxPods: 110,
		Labels: map[string]string{"a": "b\n"}, Taints: []db.Taint{}, Tags: []string{}, Subnets: c.Subnets, CreatedAt: record.Now(), RequestHash: []byte{}}}
	_, err := store.CreateCluster(ctx, c, func(record.Usage, record.Usage) error { return nil })
	s.must(err)
	worker := &mkesync.Worker{Store: store, Kube: s.kube, Log: slog.New(slog.DiscardHandler), Prices: &price.Table{}}
	worked, err := worker.Step(ctx)
	if s.must(err); !worked {
		s.Fatal("nothing was applied")
	}
	s.operate(c)
	return c
}

const tenant = "tenant-1"

// operate makes a Cluster with a machine, owned as operators have it, and the cluster's CA.
func (s *site) operate(c *record.Cluster) {
	s.Helper()
	ctx, namespace := s.Context(), mkev1.ClusterNamespace(c.ID.String())
	var owner mkev1.MGCCluster
	s.must(s.kube.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.Name}, &owner))
	cluster := &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: c.Name},
		Spec: clusterv1.ClusterSpec{ControlPlaneEndpoint: clusterv1.APIEndpoint{Host: "198.18.0.9", Port: 6443}}}
	machine := &infrav1.MGKMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "m"},
		Spec: infrav1.MGKMachineSpec{ProviderID: "magalu://br-se1-a/instance-" + c.Name, MachineType: "BV4-8-40", Image: "x"}}
	ca := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: c.Name + "-ca"}, Data: map[string][]byte{"tls.key": []byte("secret")}}
	s.must(controllerutil.SetControllerReference(&owner, cluster, s.kube.Scheme()))
	s.must(s.kube.Create(ctx, cluster))
	for _, obj := range []client.Object{machine, ca} {
		s.must(controllerutil.SetControllerReference(cluster, obj, s.kube.Scheme()))
		s.must(s.kube.Create(ctx, obj))
	}
	ready := true
	machine.Status.Initialization.Provisioned = &ready
	s.must(s.kube.Status().Update(ctx, machine))
}

// dump is the parts of a backup.
func (s *site) dump() (dir string, d Database) {
	s.Helper()
	dir = s.TempDir()
	conn, err := pgx.ConnectConfig(s.Context(), s.database)
	s.must(err)
	defer conn.Close(context.WithoutCancel(s.Context()))
	d, err = DumpDatabase(s.Context(), conn, dir)
	s.must(err)
	client, err := discovery.NewDiscoveryClientForConfig(config)
	s.must(err)
	count, err := DumpObjects(s.Context(), s.kube, client, dir)
	if s.must(err); count < 6 {
		s.Fatalf("only %d objects were kept", count)
	}
	return dir, d
}

// lose removes a cluster's objects from the management cluster, all or those of some kinds. Nobody acts on it there.
func (s *site) lose(c *record.Cluster, objects ...client.Object) {
	s.Helper()
	for _, obj := range objects {
		obj.SetNamespace(mkev1.ClusterNamespace(c.ID.String()))
		s.must(s.kube.Get(s.Context(), client.ObjectKeyFromObject(obj), obj))
		obj.SetFinalizers(nil)
		s.must(s.kube.Update(s.Context(), obj))
		s.must(client.IgnoreNotFound(s.kube.Delete(s.Context(), obj)))
	}
}

func everything(c *record.Cluster) []client.Object {
	named := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	return []client.Object{&corev1.Secret{ObjectMeta: named(c.Name + "-ca")}, &infrav1.MGKMachine{ObjectMeta: named("m")}, &clusterv1.Cluster{ObjectMeta: named(c.Name)},
		&mkev1.MGCNodePool{ObjectMeta: named("pool")}, &mkev1.MGCCluster{ObjectMeta: named(c.Name)}}
}

func TestRestoreIntoNothing(t *testing.T) {
	s := newSite(t)
	c := s.populate("lost")
	dir, d := s.dump()
	s.lose(c, everything(c)...)
	empty := newSite(t)

	kept, err := RestoreDatabase(t.Context(), empty.database, dir, d, time.Now())
	if empty.must(err); !strings.HasPrefix(kept, empty.database.Database+"_before_") {
		t.Errorf("the former database is kept as %q", kept)
	}
	again, err := empty.store().GetCluster(t.Context(), tenant, c.ID)
	if empty.must(err); again.Name != "lost" || string(again.RequestHash) != "h\x00\t\\" || len(again.Pools) != 1 || again.Pools[0].Labels["a"] != "b\n" {
		t.Errorf("restored as %+v", again)
	}
	if n := empty.query("SELECT count(*) FROM outbox"); n != 0 {
		t.Errorf("%d old wishes would be carried out", n)
	}
	if before, after := s.query("SELECT last_value FROM change_numbers"), empty.query("SELECT nextval('change_numbers')"); after <= before {
		t.Errorf("numbers of changes go from %d to %d", before, after)
	}

	plan, err := RestoreObjects(t.Context(), s.kube, dir, true)
	empty.must(err)
	if s.kube.Get(t.Context(), client.ObjectKey{Namespace: mkev1.ClusterNamespace(c.ID.String()), Name: "lost"}, &mkev1.MGCCluster{}) == nil {
		t.Fatal("a dry run makes objects")
	}
	done, err := RestoreObjects(t.Context(), s.kube, dir, false)
	if empty.must(err); done != plan || done.Created != 5 {
		t.Errorf("planned %+v, done %+v", plan, done)
	}
	s.checkRestored(c)
	if repeated, err := RestoreObjects(t.Context(), s.kube, dir, false); err != nil || repeated.Created != 0 || repeated.Left != 0 {
		t.Errorf("a second run: %+v, %v", repeated, err)
	}
	report, err := Compare(t.Context(), empty.store(), s.kube, instances("instance-lost"))
	if empty.must(err); len(s.of(report, c)) != 0 {
		t.Errorf("drift %+v", report)
	}
	s.lose(c, everything(c)...)
}

// Of a cluster that exists only what its controllers cannot make comes back.
func TestRestoreIntoLiveCluster(t *testing.T) {
	s := newSite(t)
	c := s.populate("alive")
	namespace := mkev1.ClusterNamespace(c.ID.String())
	var machine infrav1.MGKMachine
	s.must(s.kube.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "m"}, &machine))
	data := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "m"}}
	s.must(controllerutil.SetControllerReference(&machine, data, s.kube.Scheme()))
	s.must(s.kube.Create(t.Context(), data))
	dir, _ := s.dump()
	s.lose(c, data, &infrav1.MGKMachine{ObjectMeta: metav1.ObjectMeta{Name: "m"}}, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "alive-ca"}})
	done, err := RestoreObjects(t.Context(), s.kube, dir, false)
	if s.must(err); done.Created != 1 || done.Left != 2 {
		t.Errorf("done %+v", done)
	}
	s.must(s.kube.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "alive-ca"}, &corev1.Secret{}))
}

// checkRestored wants owners to be named by their new ids, status to be kept, and nothing to be held.
func (s *site) checkRestored(c *record.Cluster) {
	s.Helper()
	ctx, namespace := s.Context(), mkev1.ClusterNamespace(c.ID.String())
	var owner mkev1.MGCCluster
	var cluster clusterv1.Cluster
	var machine infrav1.MGKMachine
	var ca corev1.Secret
	s.must(s.kube.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.Name}, &owner))
	s.must(s.kube.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.Name}, &cluster))
	s.must(s.kube.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "m"}, &machine))
	s.must(s.kube.Get(ctx, client.ObjectKey{Namespace: namespace, Name: c.Name + "-ca"}, &ca))
	if !metav1.IsControlledBy(&cluster, &owner) || !metav1.IsControlledBy(&machine, &cluster) || !metav1.IsControlledBy(&ca, &cluster) {
		s.Error("owners are lost")
	}
	if p := machine.Status.Initialization.Provisioned; p == nil || !*p {
		s.Error("the machine's status is lost")
	}
	if cluster.Spec.Paused != nil && *cluster.Spec.Paused || cluster.Annotations[restoringAnnotation] != "" {
		s.Error("the cluster is still held")
	}
	if string(ca.Data["tls.key"]) != "secret" {
		s.Error("the CA is lost")
	}
}

// instances is a cloud that has these, each of the cluster and machine that its name says.
type instances string

func (i instances) Instances(context.Context, string) ([]mgc.Instance, error) {
	return []mgc.Instance{{ID: string(i)}, {ID: "stray", Name: "stray", Labels: []string{"mke.cluster-id=nowhere", "mke.machine=cluster-nowhere/x"}}}, nil
}

func (instances) LoadBalancers(context.Context, string) ([]mgc.LoadBalancer, error) {
	return []mgc.LoadBalancer{{ID: "lb", Name: "mke-nowhere-api", Description: "mke.cluster-id=nowhere"}}, nil
}

// of are the differences that concern a cluster: other tests leave some, too.
func (s *site) of(r Report, c *record.Cluster) (problems []string) {
	for _, d := range r.Drift {
		if d.Cluster == c.ID.String() {
			problems = append(problems, d.Problem+" "+d.Kind+" "+d.Name+" "+d.Detail)
		}
	}
	return problems
}

func TestDrift(t *testing.T) {
	s := newSite(t)
	changed, missing, foreign := s.populate("changed"), s.populate("missing"), s.populate("foreign")
	s.query("WITH p AS (UPDATE node_pools SET replicas = 5, revision = 2 WHERE cluster_id = $1 RETURNING 1) SELECT count(*) FROM p", changed.ID)
	s.lose(missing, &mkev1.MGCNodePool{ObjectMeta: metav1.ObjectMeta{Name: "pool"}})
	s.query("WITH c AS (UPDATE clusters SET deleted_at = now() WHERE id = $1 RETURNING 1) SELECT count(*) FROM c", foreign.ID)
	going := s.populate("going")
	s.must(s.kube.Delete(t.Context(), &mkev1.MGCCluster{ObjectMeta: metav1.ObjectMeta{Namespace: mkev1.ClusterNamespace(going.ID.String()), Name: "going"}})) // it has a finalizer
	report, err := Compare(t.Context(), s.store(), s.kube, instances("instance-missing"))
	s.must(err)
	for c, want := range map[*record.Cluster][]string{
		changed: {"differs MGCNodePool pool spec.replicas is 5 in the database and <nil> in the management cluster", "not_in_cloud MGKMachine m instance instance-changed"},
		missing: {"not_in_kubernetes MGCNodePool pool "},
		going:   {"not_in_kubernetes MGCCluster going it is being deleted", "not_in_cloud MGKMachine m instance instance-going"},
		foreign: {"not_in_database MGCCluster foreign ", "not_in_database MGCNodePool pool ", "not_in_cloud MGKMachine m instance instance-foreign"},
	} {
		got := strings.Join(s.of(report, c), "\n")
		for _, w := range want {
			if !strings.Contains(got, w) || len(s.of(report, c)) != len(want) {
				t.Errorf("%s:\n got %s\nwant %q", c.Name, got, want)
			}
		}
	}
	nowhere := s.of(report, &record.Cluster{})
	for _, d := range report.Drift {
		if d.Cluster == "nowhere" {
			nowhere = append(nowhere, d.Problem+" "+d.Kind)
		}
	}
	if strings.Join(nowhere, ",") != "unclaimed Instance,unclaimed LoadBalancer" {
		t.Errorf("of no cluster: %q", nowhere)
	}
	if ids := report.OnlyMissing(); len(ids) != 1 || ids[0] != missing.ID.String() {
		t.Errorf("only missing: %v", ids)
	}
}

// A copy that does not fit changes nothing.
func TestBadCopyChangesNothing(t *testing.T) {
	s := newSite(t)
	c := s.populate("stays")
	dir, d := s.dump()
	s.must(os.WriteFile(filepath.Join(dir, "table-clusters"), []byte("not a row\n"), 0o600))
	if _, err := RestoreDatabase(t.Context(), s.database, dir, d, time.Now()); err == nil {
		t.Fatal("it was restored")
	}
	if _, err := s.store().GetCluster(t.Context(), tenant, c.ID); err != nil {
		t.Errorf("the database was changed: %v", err)
	}
}

// A copy of an older schema is migrated like any old database.
func TestOldCopy(t *testing.T) {
	old := newSite(t)
	old.must(db.MigrateTo(t.Context(), old.database, 1))
	conn, err := pgx.ConnectConfig(t.Context(), old.database)
	old.must(err)
	_, err = conn.Exec(t.Context(), `INSERT INTO clusters (id, tenant_id, name, description, region, version, allowed_cidrs, pods_cidr, services_cidr, vpc_id, subnets, control_plane_flavor,
		control_plane_replicas, state, message, request_hash) VALUES ('5d3c1f0e-0000-4000-8000-000000000001', 't', 'c', '', 'br-se1', 'v1.34.2', '{}', '', '', 'v', '[]', 'BV2-4-40', 1, 'Running', '', '')`)
	old.must(err)
	dir := t.TempDir()
	d, err := DumpDatabase(t.Context(), conn, dir)
	old.must(err)
	old.must(conn.Close(t.Context()))
	if d.Schema != 1 {
		t.Fatalf("schema %d", d.Schema)
	}
	_, err = RestoreDatabase(t.Context(), old.database, dir, d, time.Now())
	old.must(err)
	if c, err := old.store().GetCluster(t.Context(), "t", uuid.MustParse("5d3c1f0e-0000-4000-8000-000000000001")); err != nil || c.Cni != "calico" {
		t.Errorf("%+v, %v", c, err)
	}
}
