package provider

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/testenv"
)

var config *rest.Config

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	os.Exit(testenv.Main(m, &config))
}

const (
	clusterName = "meu-cluster"
	clusterID   = "5d3c1f0e-0000-4000-8000-00000000000a"
)

// environment is a management cluster with the provider running in it.
type environment struct {
	*WithT
	client.Client
	cloud     *mgctest.Cloud
	namespace string
}

// startProvider runs one provider for all tests; each cluster's Secret names its own cloud.
var startProvider = sync.OnceValue(func() error {
	o := Options{ClusterConcurrency: 5, MachineConcurrency: 5, QPS: 100, Burst: 200, HealthAddr: "0", MetricsAddr: "0"}
	mgr, err := newManager(rest.CopyConfig(config), o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := setUpControllers(ctx, mgr, o); err != nil {
		cancel()
		return err
	}
	done := make(chan error)
	go func() { done <- mgr.Start(ctx) }()
	testenv.AtExit(func() error {
		cancel()
		return <-done
	})
	return nil
})

func start(t *testing.T) environment {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(20 * time.Second)
	g.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	g.Expect(startProvider()).To(Succeed())
	scheme, err := NewScheme()
	g.Expect(err).NotTo(HaveOccurred())
	c, err := client.New(config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cluster-"}}
	g.Expect(c.Create(t.Context(), ns)).To(Succeed())
	return environment{g, c, mgctest.New(t), ns.Name}
}

func (e environment) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: e.namespace, Name: name, Labels: map[string]string{clusterv1.ClusterNameLabel: clusterName}}
}

// own makes owner the owner of o, as Cluster API does after both exist.
func (e environment) own(ctx context.Context, kind string, owner, o client.Object) {
	before := o.DeepCopyObject().(client.Object)
	o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: clusterv1.GroupVersion.String(), Kind: kind, Name: owner.GetName(), UID: owner.GetUID()}})
	e.Expect(e.Patch(ctx, o, client.MergeFrom(before))).To(Succeed())
}

func (e environment) createCluster(ctx context.Context) *infrav1.MGKCluster {
	vpc, subnets := e.cloud.DefaultVPC()
	mgk := &infrav1.MGKCluster{ObjectMeta: e.meta(clusterName), Spec: infrav1.MGKClusterSpec{ClusterID: clusterID, Region: mgctest.Region,
		CredentialsSecretName: "magalu-credentials", VPCID: vpc.ID,
		Subnets: []infrav1.Subnet{{ID: subnets[0].ID, Zone: "br-se1-a", CIDR: subnets[0].CIDRBlock}}}}
	e.Expect(e.Create(ctx, mgk)).To(Succeed())
	cluster := &clusterv1.Cluster{ObjectMeta: e.meta(clusterName), Spec: clusterv1.ClusterSpec{InfrastructureRef: ref("MGKCluster", clusterName),
		ControlPlaneRef: clusterv1.ContractVersionedObjectReference{APIGroup: "controlplane.cluster.x-k8s.io", Kind: "KubeadmControlPlane", Name: clusterName}}}
	e.Expect(e.Create(ctx, cluster)).To(Succeed())
	e.own(ctx, "Cluster", cluster, mgk)
	return mgk
}

func ref(kind, name string) clusterv1.ContractVersionedObjectReference {
	return clusterv1.ContractVersionedObjectReference{APIGroup: infrav1.GroupVersion.Group, Kind: kind, Name: name}
}

func (e environment) createCredentials(ctx context.Context, apiKey string) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: e.meta("magalu-credentials"), StringData: map[string]string{"api-key": apiKey, "endpoint": e.cloud.Endpoint()}}
	e.Expect(e.Create(ctx, s)).To(Succeed())
	return s
}

func (e environment) createMachine(ctx context.Context, name string) (*clusterv1.Machine, *infrav1.MGKMachine) {
	mgk := &infrav1.MGKMachine{ObjectMeta: e.meta(name), Spec: infrav1.MGKMachineSpec{MachineType: "BV2-4-40", Image: "cloud-mke-node-v1.34.2"}}
	mgk.Labels[clusterv1.MachineControlPlaneLabel] = ""
	e.Expect(e.Create(ctx, mgk)).To(Succeed())
	m := &clusterv1.Machine{ObjectMeta: e.meta(name), Spec: clusterv1.MachineSpec{ClusterName: clusterName, InfrastructureRef: ref("MGKMachine", name),
		Bootstrap: clusterv1.Bootstrap{ConfigRef: clusterv1.ContractVersionedObjectReference{APIGroup: "bootstrap.cluster.x-k8s.io", Kind: "KubeadmConfig", Name: name}}}}
	e.Expect(e.Create(ctx, m)).To(Succeed())
	e.own(ctx, "Machine", m, mgk)
	return m, mgk
}

// reload reads o again and returns what get says of it, for Eventually.
func (e environment) reload(ctx context.Context, o client.Object, get func() any) func() (any, error) {
	return func() (any, error) {
		err := e.Get(ctx, client.ObjectKeyFromObject(o), o)
		return get(), err
	}
}

// eventuallyGone waits for the object's end.
func (e environment) eventuallyGone(ctx context.Context, o client.Object) {
	e.Eventually(func() bool { return apierrors.IsNotFound(e.Get(ctx, client.ObjectKeyFromObject(o), o)) }).Should(BeTrue())
}

// TestJourney goes through the life of a cluster with one machine, driven by nothing but watches.
func TestJourney(t *testing.T) {
	e, ctx := start(t), t.Context()
	mgk := e.createCluster(ctx)
	e.Eventually(e.reload(ctx, mgk, func() any { return conditions.GetReason(mgk, infrav1.CloudReachableCondition) })).Should(Equal("CredentialsMissing"))
	e.createCredentials(ctx, mgctest.TenantKey)
	e.Eventually(e.reload(ctx, mgk, func() any { return ptr.Deref(mgk.Status.Initialization.Provisioned, false) })).Should(BeTrue())
	e.Expect(mgk.Spec.ControlPlaneEndpoint.IsValid()).To(BeTrue())

	m, mgkMachine := e.createMachine(ctx, "cp-1")
	e.Eventually(e.reload(ctx, mgkMachine, func() any { return conditions.GetReason(mgkMachine, infrav1.InstanceReadyCondition) })).Should(Equal("WaitingForClusterInfrastructure"))
	cluster := &clusterv1.Cluster{}
	e.Expect(e.Get(ctx, client.ObjectKeyFromObject(mgk), cluster)).To(Succeed())
	cluster.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
	e.Expect(e.Status().Update(ctx, cluster)).To(Succeed())
	e.Eventually(e.reload(ctx, mgkMachine, func() any { return conditions.GetReason(mgkMachine, infrav1.InstanceReadyCondition) })).Should(Equal("WaitingForBootstrapData"))
	e.Expect(e.Create(ctx, &corev1.Secret{ObjectMeta: e.meta("cp-1"), StringData: map[string]string{"value": "#cloud-config\n"}})).To(Succeed())
	before := m.DeepCopy()
	m.Spec.Bootstrap.DataSecretName = ptr.To("cp-1")
	e.Expect(e.Patch(ctx, m, client.MergeFrom(before))).To(Succeed())
	e.Eventually(e.reload(ctx, mgkMachine, func() any { return ptr.Deref(mgkMachine.Status.Initialization.Provisioned, false) })).Should(BeTrue())
	e.Expect(mgkMachine.Spec.ProviderID).To(HavePrefix("magalu://br-se1-a/"))
	e.Expect(e.cloud.LoadBalancers()[0].Backends[0].Targets).To(HaveLen(1))
	e.Eventually(e.reload(ctx, mgkMachine, func() any { return conditions.IsTrue(mgkMachine, clusterv1.ReadyCondition) })).Should(BeTrue())

	e.Expect(e.Delete(ctx, mgk)).To(Succeed())
	e.Consistently(func() int { return len(e.cloud.LoadBalancers()) }, "500ms").Should(Equal(1), "the load balancer must outlive the machines")
	e.Expect(e.Delete(ctx, mgkMachine)).To(Succeed())
	e.eventuallyGone(ctx, mgkMachine)
	e.eventuallyGone(ctx, mgk)
	e.Expect(e.cloud.Instances()).To(BeEmpty())
	e.Expect(e.cloud.LoadBalancers()).To(BeEmpty())
	e.Expect(e.cloud.SecurityGroups()).To(BeEmpty())
	e.Expect(e.cloud.PublicIPs()).To(BeEmpty())
}

// TestNewKey shows that a changed Secret is used at once.
func TestNewKey(t *testing.T) {
	e, ctx := start(t), t.Context()
	secret := e.createCredentials(ctx, "99999999-9999-4999-8999-999999999999")
	mgk := e.createCluster(ctx)
	e.Eventually(e.reload(ctx, mgk, func() any { return conditions.GetReason(mgk, infrav1.CloudReachableCondition) })).Should(Equal("Unauthorized"))
	secret.StringData = map[string]string{"api-key": mgctest.TenantKey}
	e.Expect(e.Update(ctx, secret)).To(Succeed())
	e.Eventually(e.reload(ctx, mgk, func() any { return conditions.IsTrue(mgk, clusterv1.ReadyCondition) })).Should(BeTrue())
	e.Expect(e.Delete(ctx, mgk)).To(Succeed())
	e.eventuallyGone(ctx, mgk)
}

// TestPaused shows that nothing is done to a paused cluster.
func TestPaused(t *testing.T) {
	e, ctx := start(t), t.Context()
	e.createCredentials(ctx, mgctest.TenantKey)
	mgk := e.createCluster(ctx)
	e.Eventually(e.reload(ctx, mgk, func() any { return ptr.Deref(mgk.Status.Initialization.Provisioned, false) })).Should(BeTrue())
	cluster := &clusterv1.Cluster{}
	pause := func(paused bool) {
		e.Expect(e.Get(ctx, client.ObjectKeyFromObject(mgk), cluster)).To(Succeed())
		cluster.Spec.Paused = ptr.To(paused)
		e.Expect(e.Update(ctx, cluster)).To(Succeed())
	}
	pause(true)
	e.Eventually(e.reload(ctx, mgk, func() any { return conditions.IsTrue(mgk, clusterv1.PausedCondition) })).Should(BeTrue())
	e.Expect(e.Delete(ctx, mgk)).To(Succeed())
	e.Consistently(func() int { return len(e.cloud.LoadBalancers()) }, "500ms").Should(Equal(1))
	pause(false)
	e.eventuallyGone(ctx, mgk)
}
