package operator

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/testenv"
)

var config *rest.Config

func TestMain(m *testing.M) {
	if err := setUpLogs("error"); err != nil {
		panic(err)
	}
	os.Exit(testenv.Main(m, &config))
}

// world is an API server with our operator, a fake cloud, and Cluster API played by the test. The API server is the customer
// cluster's as well.
type world struct {
	*WithT
	client.Client
	t     *testing.T
	ctx   context.Context
	cloud *mgctest.Cloud
	key   client.ObjectKey
}

// eventually is a limit for machines on which much else runs.
const eventually = time.Minute

func newWorld(t *testing.T) *world {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.NewString()
	w := &world{WithT: NewWithT(t), Client: c, t: t, ctx: t.Context(), cloud: mgctest.New(t),
		key: client.ObjectKey{Namespace: mkev1.ClusterNamespace(id), Name: "meu-cluster"}}
	w.SetDefaultEventuallyTimeout(eventually)
	w.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	w.Expect(c.Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.key.Namespace}})).To(Succeed())
	return w
}

// startOperator runs an operator until stop is called or the test ends, like a process that may die at any moment.
func (w *world) startOperator() (stop func()) {
	w.t.Helper()
	keyFile := filepath.Join(w.t.TempDir(), "api-key")
	w.Expect(os.WriteFile(keyFile, []byte(mgctest.PlatformKey+"\n"), 0o600)).To(Succeed())
	mgr, err := NewManager(config, Options{
		Region: w.region(), CloudEndpoint: w.cloud.Endpoint(), CloudAPIKeyFile: keyFile, Image: "mke:test",
		NodeImage: "cloud-mke-node-{version}", HealthAddress: "0", MetricsAddress: "0",
		manyInProcess: true,
	})
	w.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := mgr.Start(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	w.t.Cleanup(stop)
	return stop
}

// region keeps the tests' operators apart.
func (w *world) region() string { return "test-" + w.key.Namespace[len("cluster-"):][:8] }

func (w *world) createCluster() *mkev1.MGCCluster {
	c := w.newCluster()
	w.Expect(w.Create(w.ctx, c)).To(Succeed())
	return c
}

func (w *world) newCluster() *mkev1.MGCCluster {
	return &mkev1.MGCCluster{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: w.key.Name},
		Spec: mkev1.MGCClusterSpec{
			ClusterID: w.key.Namespace[len("cluster-"):], TenantID: mgctest.Tenant, Region: w.region(), KubernetesVersion: "v1.34.2",
			PodsCIDR: "192.168.0.0/16", ServicesCIDR: "10.0.0.0/24", // the API server's own
			Network:      mkev1.Network{VPCID: "vpc", Subnets: []mkev1.Subnet{{ID: "sn-a", Zone: "br-se1-a", CIDR: "172.26.0.0/20"}}},
			ControlPlane: mkev1.ControlPlane{Replicas: 1, MachineType: "BV2-4-40"},
		},
	}
}

func (w *world) createPool(name string, replicas int32) *mkev1.MGCNodePool {
	p := &mkev1.MGCNodePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: name},
		Spec: mkev1.MGCNodePoolSpec{
			ClusterRef: mkev1.ClusterReference{Name: w.key.Name}, NodePoolID: uuid.NewString(), InitialReplicas: replicas,
			KubernetesVersion: "v1.34.2", MachineType: "BV4-8-40",
		},
	}
	w.Expect(w.Create(w.ctx, p)).To(Succeed())
	return p
}

// get waits until an object with the cluster's name exists and returns it.
func get[T client.Object](w *world, name string, obj T) T {
	w.t.Helper()
	w.Eventually(func() error { return w.Get(w.ctx, client.ObjectKey{Namespace: w.key.Namespace, Name: name}, obj) }).Should(Succeed())
	return obj
}

func gone(w *world, name string, obj client.Object) {
	w.t.Helper()
	w.Eventually(func() bool {
		return client.IgnoreNotFound(w.Get(w.ctx, client.ObjectKey{Namespace: w.key.Namespace, Name: name}, obj)) == nil &&
			w.Get(w.ctx, client.ObjectKey{Namespace: w.key.Namespace, Name: name}, obj) != nil
	}).Should(BeTrue(), "%T %s is still there", obj, name)
}

// update changes an object, its status included, and tries again on conflicts.
func update[T client.Object](w *world, name string, obj T, change func(T)) {
	w.t.Helper()
	w.Eventually(func() error {
		get(w, name, obj)
		change(obj)
		status := obj.DeepCopyObject().(client.Object)
		if err := w.Update(w.ctx, obj); err != nil {
			return err
		}
		status.SetResourceVersion(obj.GetResourceVersion())
		return client.IgnoreNotFound(w.Status().Update(w.ctx, status)) // some kinds have no status
	}).Should(Succeed())
}

func (w *world) status() mkev1.MGCClusterStatus {
	c := &mkev1.MGCCluster{}
	w.Expect(w.Get(w.ctx, w.key, c)).To(Succeed())
	return c.Status
}

// infrastructureIsReady plays Cluster API and CAPMGK until the first control plane machine has booted.
func (w *world) infrastructureIsReady() {
	endpoint := clusterv1.APIEndpoint{Host: "198.18.0.7", Port: 6443}
	update(w, w.key.Name, &infrav1.MGKCluster{}, func(c *infrav1.MGKCluster) {
		c.Spec.ControlPlaneEndpoint = endpoint
		c.Status.Initialization.Provisioned = ptr.To(true)
	})
	update(w, w.key.Name, &clusterv1.Cluster{}, func(c *clusterv1.Cluster) {
		c.Finalizers = []string{clusterv1.ClusterFinalizer}
		c.Spec.ControlPlaneEndpoint = endpoint
		c.Status.Initialization.InfrastructureProvisioned = ptr.To(true)
	})
	w.createMachine(w.key.Name+"-cp", map[string]string{clusterv1.MachineControlPlaneLabel: ""})
	w.Expect(w.Create(w.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: w.key.Name + "-kubeconfig", Labels: map[string]string{clusterv1.ClusterNameLabel: w.key.Name}},
		Data:       map[string][]byte{"value": kubeconfig(w.t)},
	})).To(Succeed())
}

func (w *world) createMachine(name string, labels map[string]string) {
	labels[clusterv1.ClusterNameLabel] = w.key.Name
	w.Expect(w.Create(w.ctx, &clusterv1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: name, Labels: labels},
		Spec: clusterv1.MachineSpec{
			ClusterName: w.key.Name, Version: "v1.34.2",
			Bootstrap:         clusterv1.Bootstrap{DataSecretName: ptr.To("none")},
			InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: infrav1.GroupVersion.Group, Kind: "MGKMachine", Name: name},
		},
	})).To(Succeed())
	w.setMachine(name, clusterv1.MachineInfrastructureReadyCondition)
}

func (w *world) setMachine(name, condition string) {
	update(w, name, &clusterv1.Machine{}, func(m *clusterv1.Machine) {
		conditions.Set(m, metav1.Condition{Type: condition, Status: metav1.ConditionTrue, Reason: "Test"})
		m.Status.NodeRef.Name = name
	})
}

// controlPlaneIsUp plays kubeadm's and the control plane provider's part.
func (w *world) controlPlaneIsUp() {
	update(w, w.key.Name, &controlplanev1.KubeadmControlPlane{}, func(k *controlplanev1.KubeadmControlPlane) {
		k.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
		k.Status.Version = "v1.34.2"
	})
	update(w, w.key.Name, &clusterv1.Cluster{}, func(c *clusterv1.Cluster) {
		c.Status.Initialization.ControlPlaneInitialized = ptr.To(true)
	})
	w.setMachine(w.key.Name+"-cp", clusterv1.MachineNodeReadyCondition)
}

func kubeconfig(t *testing.T) []byte {
	t.Helper()
	out, err := clientcmd.Write(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
