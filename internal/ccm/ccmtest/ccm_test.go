// Package ccmtest runs the cloud controller manager against a real API server.
package ccmtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	cloudproviderapi "k8s.io/cloud-provider/api"
	"k8s.io/utils/ptr"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/ccm"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/testenv"
)

var config *rest.Config

func TestMain(m *testing.M) { os.Exit(testenv.Main(m, &config)) }

const (
	clusterID = "5d3c1f0e-0000-4000-8000-00000000000c"
	label     = "mke.cluster-id=" + clusterID

	leaseSeconds = 8
)

func TestNodes(t *testing.T) {
	g, ctx := NewWithT(t), t.Context()
	g.SetDefaultEventuallyTimeout(40 * time.Second)
	cloud := mgctest.New(t)
	client, err := kubernetes.NewForConfig(config)
	g.Expect(err).NotTo(HaveOccurred())
	startCCM(t, g, cloud)

	cloud.AddInstance("control-plane", "br-se1-a", "BV2-4-40", label)
	vm := cloud.AddInstance("node-1", "br-se1-b", "BV4-8-40", label)
	addNode(ctx, g, client, "node-1", "magalu://br-se1-b/"+vm.ID)
	get := func() *corev1.Node {
		n, err := client.CoreV1().Nodes().Get(ctx, "node-1", metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		return n
	}
	hasTaint := func(key string) func() bool {
		return func() bool {
			for _, taint := range get().Spec.Taints {
				if taint.Key == key {
					return true
				}
			}
			return false
		}
	}
	g.Eventually(hasTaint(cloudproviderapi.TaintExternalCloudProvider)).Should(BeFalse())
	n := get()
	g.Expect(n.Labels).To(HaveKeyWithValue(corev1.LabelTopologyZone, "br-se1-b"))
	g.Expect(n.Labels).To(HaveKeyWithValue(corev1.LabelTopologyRegion, "br-se1"))
	g.Expect(n.Labels).To(HaveKeyWithValue(corev1.LabelInstanceTypeStable, "BV4-8-40"))
	g.Expect(n.Labels).To(HaveKeyWithValue(mkev1.FlavorLabel, "BV4-8-40"))
	// Upstream's controller sets addresses in a request of their own, after the taint is gone.
	addresses := func() []corev1.NodeAddress { return get().Status.Addresses }
	g.Eventually(addresses).Should(ContainElement(corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: vm.PrivateIPv4()}))

	exists := func() bool {
		_, err := client.CoreV1().Nodes().Get(ctx, "node-1", metav1.GetOptions{})
		return !apierrors.IsNotFound(err)
	}

	// A kubelet that is heard of costs no call.
	silence := beat(ctx, g, client, "node-1")
	quiet := func() bool {
		defer cloud.ResetCalls()
		return len(cloud.Calls()) == 0
	}
	g.Eventually(quiet).WithPolling(time.Second).Should(BeTrue()) // what was under way before the first beat was seen
	g.Consistently(cloud.Calls, "5s").Should(BeEmpty())

	// Silent but the cloud cannot tell: the Node stays as it is.
	remove := cloud.Inject(mgctest.Fault{Status: 500})
	silence()
	g.Eventually(cloud.Calls).ShouldNot(BeEmpty())
	g.Consistently(hasTaint(corev1.TaintNodeOutOfService), "5s").Should(BeFalse())
	remove()

	// Silent and the VM is stopped: fenced, until it runs and its kubelet is back. Silent and the VM is gone: no Node.
	cloud.SetInstance(vm.ID, "stopped", "completed")
	g.Eventually(hasTaint(corev1.TaintNodeOutOfService)).Should(BeTrue())
	cloud.SetInstance(vm.ID, "running", "completed")
	silence = beat(ctx, g, client, "node-1")
	g.Eventually(hasTaint(corev1.TaintNodeOutOfService)).Should(BeFalse())
	g.Expect(hasTaint(cloudproviderapi.TaintNodeShutdown)()).To(BeFalse())
	silence()
	cloud.RemoveInstance(vm.ID)
	g.Eventually(exists).Should(BeFalse())
}

func startCCM(t *testing.T, g *WithT, cloud *mgctest.Cloud) {
	dir := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(dir, "api-key"), []byte(mgctest.TenantKey), 0o600)).To(Succeed())
	kubeconfig := filepath.Join(dir, "kubeconfig")
	g.Expect(clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, kubeconfig)).To(Succeed())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() {
		done <- ccm.Run(ctx, ccm.Options{Kubeconfig: kubeconfig, ClusterID: clusterID, CloudEndpoint: cloud.Endpoint(), CredentialsDir: dir,
			HealthAddr: "127.0.0.1:0", MetricsAddr: "127.0.0.1:0", LogLevel: "error"})
	}()
	testenv.AtExit(func() error {
		cancel()
		return <-done
	})
}

// addNode does what a kubelet does.
func addNode(ctx context.Context, g *WithT, client kubernetes.Interface, name, providerID string) {
	n, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: providerID,
		Taints: []corev1.Taint{{Key: cloudproviderapi.TaintExternalCloudProvider, Value: "true", Effect: corev1.TaintEffectNoSchedule}}}}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	_, err = client.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	_, err = client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NowMicro()), LeaseDurationSeconds: ptr.To[int32](leaseSeconds)}}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
}

// beat renews a kubelet's lease until silence is called.
func beat(ctx context.Context, g *WithT, client kubernetes.Interface, name string) (silence func()) {
	ctx, cancel := context.WithCancel(ctx)
	leases, done := client.CoordinationV1().Leases(corev1.NamespaceNodeLease), make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			patch := fmt.Sprintf(`{"spec": {"renewTime": %q}}`, time.Now().UTC().Format(metav1.RFC3339Micro))
			_, err := leases.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
			g.Expect(err == nil || ctx.Err() != nil).To(BeTrue(), "%v", err)
			select {
			case <-ctx.Done():
			case <-time.After(leaseSeconds * time.Second / 4):
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
