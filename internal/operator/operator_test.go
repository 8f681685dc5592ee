package operator

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	bootstrapv1 "sigs.k8s.io/cluster-api/api/bootstrap/kubeadm/v1beta2"
	controlplanev1 "sigs.k8s.io/cluster-api/api/controlplane/kubeadm/v1beta2"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/operator/apply"
)

func TestClusterFromCreationToDeletion(t *testing.T) {
	w := newWorld(t)
	w.startOperator()
	w.createCluster()
	w.createPool("nodepool01", 1)

	// Credentials first, then Cluster API's objects.
	secret := get(w, mkev1.CredentialsSecretName, &corev1.Secret{})
	accounts := w.cloud.ServiceAccounts()
	w.Expect(accounts).To(HaveLen(1))
	w.Expect(w.cloud.ActiveKeys(accounts[0].UUID)).To(HaveLen(1))
	w.Expect(w.keyWorks(secret)).To(BeTrue())
	get(w, w.key.Name, &clusterv1.Cluster{})
	get(w, w.key.Name+"-ca", &corev1.Secret{})
	kcp := get(w, w.key.Name, &controlplanev1.KubeadmControlPlane{})
	w.Expect(kcp.Annotations).To(And(HaveKey(controlplanev1.SkipKubeProxyAnnotation), HaveKey(controlplanev1.SkipCoreDNSAnnotation)))
	w.Eventually(w.status).Should(And(HaveField("Phase", mkev1.ClusterProvisioning), HaveField("Message", "creating the load balancer of the API server")))

	// The pool's machines are made at once; they wait for the control plane themselves.
	md := get(w, "nodepool01", &clusterv1.MachineDeployment{})
	w.Expect(*md.Spec.Replicas).To(BeEquivalentTo(1))
	get(w, md.Spec.Template.Spec.InfrastructureRef.Name, &infrav1.MGKMachineTemplate{})
	get(w, md.Spec.Template.Spec.Bootstrap.ConfigRef.Name, &bootstrapv1.KubeadmConfigTemplate{})
	get(w, "nodepool01", &clusterv1.MachineHealthCheck{})
	pool := get(w, "nodepool01", &mkev1.MGCNodePool{})
	w.Eventually(func() string { return get(w, "nodepool01", pool).Status.Message }).Should(Equal("waiting for the control plane"))

	// Addons and the cloud controller come as soon as the API server answers, before any node.
	w.infrastructureIsReady()
	get(w, "mke-ccm", &appsv1.Deployment{})
	daemonSets := &appsv1.DaemonSetList{}
	w.Eventually(func() []appsv1.DaemonSet {
		w.Expect(w.List(w.ctx, daemonSets, client.InNamespace("kube-system"))).To(Succeed())
		return daemonSets.Items
	}).Should(ContainElements(HaveField("Name", "calico-node"), HaveField("Name", "kube-proxy")))
	w.Eventually(w.status).Should(HaveField("AddonsRevision", Not(BeEmpty())))

	// The control plane provider is told when kubeadm is done.
	w.Expect(kcp.Annotations).NotTo(HaveKey(apply.WakeAnnotation))
	kubeadm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"}}
	w.Expect(w.Create(w.ctx, kubeadm)).To(Succeed())
	t.Cleanup(func() { _ = w.Delete(context.WithoutCancel(t.Context()), kubeadm) })
	w.Eventually(func() map[string]string { return get(w, w.key.Name, kcp).Annotations }).Should(HaveKey(apply.WakeAnnotation))

	config := &bootstrapv1.KubeadmConfig{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: "worker", Labels: map[string]string{mkev1.NodePoolLabel: "nodepool01"}}}
	w.Expect(w.Create(w.ctx, config)).To(Succeed())
	w.controlPlaneIsUp()
	w.Eventually(w.status).Should(And(HaveField("Phase", mkev1.ClusterRunning), HaveField("Message", "ready"), HaveField("Version", "v1.34.2")))
	w.Eventually(func() map[string]string { return get(w, "worker", config).Annotations }).Should(HaveKey(apply.WakeAnnotation))
	w.createMachine("worker", map[string]string{mkev1.NodePoolLabel: "nodepool01"})
	w.Eventually(func() mkev1.NodePoolPhase { return get(w, "nodepool01", pool).Status.Phase }).Should(Equal(mkev1.NodePoolScalingUp))
	w.setMachine("worker", clusterv1.MachineNodeReadyCondition)
	w.Eventually(func() mkev1.MGCNodePoolStatus { return get(w, "nodepool01", pool).Status }).Should(And(
		HaveField("Phase", mkev1.NodePoolRunning), HaveField("Message", "ready"), HaveField("ReadyReplicas", BeEquivalentTo(1))))

	// The credential outlives the cluster's cloud objects.
	w.Expect(w.Delete(w.ctx, &mkev1.MGCCluster{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: w.key.Name}})).To(Succeed())
	w.Eventually(w.status).Should(HaveField("Phase", mkev1.ClusterDeleting))
	w.Eventually(func() *metav1.Time { return get(w, w.key.Name, &clusterv1.Cluster{}).DeletionTimestamp }).ShouldNot(BeNil())
	gone(w, "nodepool01", &mkev1.MGCNodePool{})
	w.Consistently(w.cloud.ServiceAccounts).Should(HaveLen(1))
	w.finishDeletion()
	gone(w, w.key.Name, &mkev1.MGCCluster{})
	w.Expect(w.cloud.ServiceAccounts()).To(BeEmpty())
	gone(w, mkev1.CredentialsSecretName, &corev1.Secret{})
	for _, list := range []client.ObjectList{&infrav1.MGKClusterList{}, &infrav1.MGKMachineTemplateList{}, &controlplanev1.KubeadmControlPlaneList{}, &clusterv1.MachineDeploymentList{}} {
		w.Expect(w.List(w.ctx, list, client.InNamespace(w.key.Namespace))).To(Succeed())
		w.Expect(list).To(HaveField("Items", BeEmpty()))
	}
}

// keyWorks asks the cloud with the key of the Secret.
func (w *world) keyWorks(s *corev1.Secret) bool {
	c, err := mgc.New(mgc.Config{Endpoint: string(s.Data["endpoint"]), APIKey: string(s.Data["api-key"])})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = c.Compute.ListMachineTypes(w.ctx)
	return err == nil
}

// finishDeletion plays Cluster API's and Kubernetes' garbage collection.
func (w *world) finishDeletion() {
	update(w, w.key.Name, &clusterv1.Cluster{}, func(c *clusterv1.Cluster) { c.Finalizers = nil })
	w.endDeployments()
}

// endDeployments plays the garbage collector: what was deleted in the foreground ends.
func (w *world) endDeployments() {
	w.Eventually(func() error {
		list := &appsv1.DeploymentList{}
		if err := w.List(w.ctx, list, client.InNamespace(w.key.Namespace)); err != nil || len(list.Items) == 0 {
			return err
		}
		for i := range list.Items {
			if d := &list.Items[i]; !d.DeletionTimestamp.IsZero() {
				d.Finalizers = nil
				_ = w.Update(w.ctx, d)
			}
		}
		return fmt.Errorf("%d Deployments are left", len(list.Items))
	}).Should(Succeed())
}

func TestLostAnswersMakeNoDuplicates(t *testing.T) {
	for _, path := range []string{"service-accounts$", "api-keys$"} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t)
			w.cloud.Inject(mgctest.Fault{Method: "POST", Path: path, Done: true, Times: 2})
			w.startOperator()
			w.createCluster()
			secret := get(w, mkev1.CredentialsSecretName, &corev1.Secret{})
			accounts := w.cloud.ServiceAccounts()
			w.Expect(accounts).To(HaveLen(1))
			w.Expect(w.cloud.ActiveKeys(accounts[0].UUID)).To(HaveLen(1))
			w.Expect(w.keyWorks(secret)).To(BeTrue())
		})
	}
}

// The operator is killed again and again, in the middle of whatever it does.
func TestKilledOperator(t *testing.T) {
	w := newWorld(t)
	c := w.createCluster()
	w.createPool("nodepool01", 2)
	killOften := func(done func() bool) {
		for life := 50 * time.Millisecond; !done(); life += 50 * time.Millisecond {
			w.Expect(life).To(BeNumerically("<", 3*time.Second))
			stop := w.startOperator()
			time.Sleep(life)
			stop()
		}
	}
	exists := func(name string, o client.Object) bool {
		return w.Get(w.ctx, client.ObjectKey{Namespace: w.key.Namespace, Name: name}, o) == nil
	}
	killOften(func() bool { return exists("nodepool01", &clusterv1.MachineHealthCheck{}) })
	accounts := w.cloud.ServiceAccounts()
	w.Expect(accounts).To(HaveLen(1))
	w.Expect(w.cloud.ActiveKeys(accounts[0].UUID)).To(HaveLen(1))
	w.Expect(w.keyWorks(get(w, mkev1.CredentialsSecretName, &corev1.Secret{}))).To(BeTrue())
	for _, list := range []client.ObjectList{&clusterv1.MachineDeploymentList{}, &infrav1.MGKClusterList{}, &controlplanev1.KubeadmControlPlaneList{}} {
		w.Expect(w.List(w.ctx, list, client.InNamespace(w.key.Namespace))).To(Succeed())
		w.Expect(list).To(HaveField("Items", HaveLen(1)))
	}
	w.Expect(w.Delete(w.ctx, c)).To(Succeed())
	killOften(func() bool { return !exists(w.key.Name, &mkev1.MGCCluster{}) })
	w.Expect(w.cloud.ServiceAccounts()).To(BeEmpty())
	gone(w, mkev1.CredentialsSecretName, &corev1.Secret{})
	gone(w, "nodepool01", &mkev1.MGCNodePool{})
}

func TestBrokenCredential(t *testing.T) {
	w := newWorld(t)
	remove := w.cloud.Inject(mgctest.Fault{Path: "/iam/", Status: 403})
	stop := w.startOperator()
	w.createCluster()
	w.Eventually(w.status).Should(And(HaveField("Phase", mkev1.ClusterPending),
		HaveField("Message", "waiting for the cloud: it refuses to make credentials for the cluster")))
	calls := w.cloud.Count("", "/iam/")
	w.Consistently(func() int { return w.cloud.Count("", "/iam/") }).Should(BeNumerically("<=", calls+1), "a refused credential is not asked for in a storm")
	remove()
	stop()
	w.startOperator()
	lost := get(w, mkev1.CredentialsSecretName, &corev1.Secret{})

	// A Secret that somebody removes is made again, with a new key.
	update(w, lost.Name, lost, func(s *corev1.Secret) { s.Finalizers = nil })
	w.Expect(w.Delete(w.ctx, lost)).To(Succeed())
	w.Eventually(func() bool {
		s := &corev1.Secret{}
		return w.Get(w.ctx, client.ObjectKeyFromObject(lost), s) == nil && s.UID != lost.UID
	}).Should(BeTrue())
	w.Expect(w.cloud.ActiveKeys(w.cloud.ServiceAccounts()[0].UUID)).To(HaveLen(1))
}

func TestDeletionOfHalfMadeClusters(t *testing.T) {
	t.Run("before anything was made", func(t *testing.T) {
		w := newWorld(t)
		w.cloud.Inject(mgctest.Fault{Method: "POST", Path: "/iam/", Status: 503, Times: 3})
		w.startOperator()
		c := w.createCluster()
		w.Eventually(w.status).Should(HaveField("Phase", mkev1.ClusterPending))
		w.Expect(w.Delete(w.ctx, c)).To(Succeed())
		gone(w, w.key.Name, &mkev1.MGCCluster{})
		w.Expect(w.cloud.ServiceAccounts()).To(BeEmpty())
	})
	t.Run("before the Cluster was made", func(t *testing.T) {
		w := newWorld(t)
		stop := w.startOperator()
		c := w.createCluster()
		get(w, w.key.Name, &clusterv1.Cluster{})
		stop()
		w.Expect(w.Delete(w.ctx, &clusterv1.Cluster{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: w.key.Name}})).To(Succeed())
		w.Expect(w.Delete(w.ctx, c)).To(Succeed())
		w.startOperator()
		gone(w, w.key.Name, &mkev1.MGCCluster{})
		w.Expect(w.cloud.ServiceAccounts()).To(BeEmpty())
		gone(w, w.key.Name, &infrav1.MGKCluster{})
		gone(w, w.key.Name, &controlplanev1.KubeadmControlPlane{})
	})
}
