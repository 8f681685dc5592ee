package autoscaler

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
)

// kubeconfigFile of the tests' API server, which is both clusters at once.
func kubeconfigFile(t *testing.T) string {
	t.Helper()
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	c.AuthInfos["c"] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	c.Contexts["c"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "c"}
	c.CurrentContext = "c"
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*c, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// The whole process, with the real planner, against a real API server: a Pod that does not fit makes a node, and the node goes with it.
func TestServer(t *testing.T) {
	g := gomega.NewWithT(t)
	o := testOptions(t)
	o.Kubeconfig = kubeconfigFile(t)
	o.CloudConfig, o.AutoDiscovery, o.Address = o.Kubeconfig, "clusterapi:namespace="+namespace+",clusterName="+clusterName, "127.0.0.1:0"
	o.DelayAfterAdd, o.UnneededTime, o.ScanInterval = 0, time.Second, time.Second
	mgmt, err := client.New(config, client.Options{Scheme: newScheme()})
	g.Expect(err).NotTo(gomega.HaveOccurred())
	kube := kubernetes.NewForConfigOrDie(config)
	create := func(objects ...client.Object) {
		t.Helper()
		for _, object := range objects {
			if err := mgmt.Create(t.Context(), object); err != nil && !apierrors.IsAlreadyExists(err) {
				t.Fatal(err)
			}
		}
	}
	md := pool("a", 0, 3)
	md.Spec.Selector = metav1.LabelSelector{MatchLabels: map[string]string{"pool": "a"}}
	md.Spec.Template = clusterv1.MachineTemplateSpec{ObjectMeta: clusterv1.ObjectMeta{Labels: map[string]string{"pool": "a"}}, Spec: machineSpec("template")}
	create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}, md)

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, o) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error("Run: ", err)
		}
	})
	replicas := func() int32 {
		found := &clusterv1.MachineDeployment{}
		if err := mgmt.Get(t.Context(), client.ObjectKeyFromObject(md), found); err != nil {
			return -1
		}
		return ptr.Deref(found.Spec.Replicas, -1)
	}
	g.Eventually(func() error {
		_, err := kube.CoordinationV1().Leases(namespace).Get(t.Context(), "cluster-autoscaler", metav1.GetOptions{})
		return err
	}, "20s", "50ms").Should(gomega.Succeed())

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "web", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("3")}},
	}}}}
	create(pod)
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}}
	g.Expect(mgmt.Status().Update(t.Context(), pod)).To(gomega.Succeed())
	g.Eventually(replicas, "20s", "50ms").Should(gomega.BeEquivalentTo(1))
	g.Eventually(func() (string, error) {
		var reasons []string
		list, err := kube.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{})
		for _, e := range list.Items {
			reasons = append(reasons, e.Reason+" "+e.Message)
		}
		return strings.Join(reasons, "\n"), err
	}, "10s", "50ms").Should(gomega.ContainSubstring("TriggeredScaleUp pod triggered scale-up: [{a 0->1 (max: 3)}]"))

	// Cluster API and the cloud do their part.
	labels := map[string]string{clusterv1.ClusterNameLabel: clusterName, clusterv1.MachineDeploymentNameLabel: "a"}
	machine := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "a-1", Labels: labels}, Spec: machineSpec("a-1")}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a-1", Labels: map[string]string{"pool": "a"}}}
	create(machine, node)
	machine.Status.NodeRef = clusterv1.MachineNodeReference{Name: "a-1"}
	g.Expect(mgmt.Status().Update(t.Context(), machine)).To(gomega.Succeed())
	node.Status = corev1.NodeStatus{
		Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")},
		Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}
	g.Expect(mgmt.Status().Update(t.Context(), node)).To(gomega.Succeed())
	node.Spec.Taints = nil // the node lifecycle controller's part
	g.Expect(mgmt.Update(t.Context(), node)).To(gomega.Succeed())
	g.Eventually(func() (string, error) {
		cm, err := kube.CoreV1().ConfigMaps("kube-system").Get(t.Context(), "cluster-autoscaler-status", metav1.GetOptions{})
		return cm.Data["status"], err
	}, "20s", "50ms").Should(gomega.MatchRegexp(`(?s)nodeGroups:.*ready: 1`))

	g.Expect(kube.CoreV1().Pods("default").Delete(t.Context(), "web", metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})).To(gomega.Succeed())
	g.Eventually(replicas, "20s", "50ms").Should(gomega.BeEquivalentTo(0))
	g.Expect(mgmt.Get(t.Context(), client.ObjectKeyFromObject(machine), machine)).To(gomega.Succeed())
	g.Expect(machine.Annotations).To(gomega.HaveKey(clusterv1.DeleteMachineAnnotation))
}

func machineSpec(infra string) clusterv1.MachineSpec {
	return clusterv1.MachineSpec{
		ClusterName: clusterName, Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To("x")},
		InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: infrav1.GroupVersion.Group, Kind: "MGKMachine", Name: infra},
	}
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for flag, want := range map[string]string{
		"--node-group-auto-discovery=aws:x":                         `must begin with "clusterapi:"`,
		"--node-group-auto-discovery=clusterapi:namespace=x":        "both namespace and clusterName",
		"--node-group-auto-discovery=clusterapi:namespace=x,name=y": `"name" is neither`,
	} {
		var o Options
		if err := newFlagSet(&o).Parse([]string{flag}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := o.discovery(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	for _, v := range []string{"5", "9:5", "a:b", "-1:5"} {
		if _, err := upper("cores-total", v); err == nil {
			t.Errorf("--cores-total=%s is taken", v)
		}
	}
}

func TestHealthCheck(t *testing.T) {
	s := &server{}
	for _, tt := range []struct {
		last int64
		want int
	}{{0, 200}, {time.Now().Unix(), 200}, {time.Now().Add(-time.Hour).Unix(), 500}} {
		s.lastLook.Store(tt.last)
		answer := httptest.NewRecorder()
		s.handler().ServeHTTP(answer, httptest.NewRequest("GET", "/health-check", nil))
		if answer.Code != tt.want {
			t.Errorf("last look %d: %d", tt.last, answer.Code)
		}
	}
	answer := httptest.NewRecorder()
	s.handler().ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if !strings.Contains(answer.Body.String(), "cluster_autoscaler_cluster_safe_to_autoscale") {
		t.Error("no metrics")
	}
}

func TestConfigurationIsReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancelCause(t.Context())
	go watchFiles(ctx, stop, 10*time.Millisecond, file)
	g := gomega.NewWithT(t)
	n := 0
	g.Eventually(func() error {
		n++ // until the watcher has read the file once
		if err := os.WriteFile(file, []byte(strings.Repeat("x", n)), 0o600); err != nil {
			return err
		}
		return context.Cause(ctx)
	}, "5s", "20ms").Should(gomega.MatchError(errConfigChanged))
}

func TestPriorities(t *testing.T) {
	p, err := parsePriorities("10:\n- .*small.*\n50:\n- big\n- ^huge-\n")
	if err != nil || len(p[50]) != 2 || !p[10][0].MatchString("a-small-pool") {
		t.Error(p, err)
	}
	for _, wrong := range []string{"10: [", "high: [a]", "10: ['(']"} {
		if _, err := parsePriorities(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
