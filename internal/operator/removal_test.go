package operator

import (
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

// withObjects creates a cluster that has made a load balancer and a volume, and begins to delete it.
func (w *world) withObjects(policy mkev1.DataPolicy) {
	w.t.Helper()
	c := w.newCluster()
	c.Spec.Deletion.Volumes = policy
	c.Finalizers = []string{"test/record"} // as mke-api does, so that the last report can be read
	w.Expect(w.Create(w.ctx, c)).To(Succeed())
	get(w, w.key.Name, &clusterv1.Cluster{})
	w.infrastructureIsReady()
	get(w, "mke-ccm", &appsv1.Deployment{})
	id := c.Spec.ClusterID
	vpc, _ := w.cloud.DefaultVPC()
	tenant := w.cloud.Client(w.t)
	_, err := tenant.LoadBalancer.Create(w.ctx, mgc.LoadBalancerCreate{
		Name: "mke-" + id[:8] + "-web", Description: "mke.cluster-id=" + id + " service=default/web", Visibility: mgc.VisibilityExternal, VPCID: vpc.ID,
		Listeners: []mgc.ListenerCreate{{Name: "l", BackendName: "b", Protocol: "tcp", Port: 80}},
		Backends:  []mgc.BackendCreate{{Name: "b", BalanceAlgorithm: mgc.BalanceRoundRobin, TargetsType: mgc.TargetsInstance}},
	})
	w.Expect(err).NotTo(HaveOccurred())
	_, err = tenant.Volume.Create(w.ctx, mgc.VolumeCreate{Name: "mke-" + id[:8] + "-00000000-0000-4000-8000-000000000001", Size: 10,
		Type: mgc.Ref{Name: "cloud_nvme20k"}, AvailabilityZone: "br-se1-a"})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.Delete(w.ctx, c)).To(Succeed())
}

// machinesEnd plays Cluster API.
func (w *world) machinesEnd() {
	w.Expect(w.DeleteAllOf(w.ctx, &clusterv1.Machine{}, client.InNamespace(w.key.Namespace))).To(Succeed())
}

func TestDeletionOfWhatTheClusterMade(t *testing.T) {
	for policy, volumes := range map[mkev1.DataPolicy]int{mkev1.KeepData: 1, mkev1.DeleteData: 0} {
		t.Run(string(policy), func(t *testing.T) {
			w := newWorld(t)
			stop := w.startOperator()
			w.withObjects(policy)

			// The load balancer goes before the machines have gone, but after what makes load balancers.
			w.Consistently(func() int { return len(w.cloud.LoadBalancers()) }, "1s").Should(Equal(1))
			w.endDeployments()
			w.Eventually(func() int { return len(w.cloud.LoadBalancers()) }).Should(BeZero())
			w.Expect(w.cloud.Volumes()).To(HaveLen(1), "it is attached to a machine")
			w.Eventually(w.status).Should(HaveField("Deletion.Removed", ContainElement(And(
				HaveField("Kind", mkev1.LoadBalancerObject), HaveField("Service", "default/web")))))

			// The cloud does not tell: nothing is taken for gone. The process may die meanwhile.
			restore := w.cloud.Inject(mgctest.Fault{Path: "/volume/", Status: 503})
			w.machinesEnd()
			w.Eventually(w.status).Should(HaveField("Message", ContainSubstring("waiting for the cloud, which does not answer, to remove")))
			update(w, w.key.Name, &clusterv1.Cluster{}, func(c *clusterv1.Cluster) { c.Finalizers = nil })
			stop()
			w.startOperator()
			w.Consistently(w.cloud.ServiceAccounts, "1s").Should(HaveLen(1), "the cluster ended although its volumes are not known")
			restore()

			w.Eventually(func() []string { return get(w, w.key.Name, &mkev1.MGCCluster{}).Finalizers }).Should(ConsistOf("test/record"))
			w.Expect(w.cloud.Volumes()).To(HaveLen(volumes))
			list := w.status().Deletion.Kept
			if policy == mkev1.DeleteData {
				list = w.status().Deletion.Removed
			}
			w.Expect(list).To(ContainElement(And(HaveField("Kind", mkev1.VolumeObject), HaveField("SizeGiB", BeEquivalentTo(10)))))
			update(w, w.key.Name, &mkev1.MGCCluster{}, func(c *mkev1.MGCCluster) { c.Finalizers = nil })
		})
	}
}

// Without a key that works no machine can be deleted; only the machines notice, because the rest waits for them.
func TestKeyRevokedDuringDeletion(t *testing.T) {
	for name, breakIt := range map[string]func(*world, *corev1.Secret){
		"key revoked":             func(w *world, s *corev1.Secret) { w.revokeKeys(string(s.Data["service-account-id"])) },
		"service account deleted": func(w *world, s *corev1.Secret) { w.deleteAccount(string(s.Data["service-account-id"])) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.startOperator()
			c := w.createCluster()
			get(w, w.key.Name, &clusterv1.Cluster{})
			w.infrastructureIsReady()
			lost := get(w, mkev1.CredentialsSecretName, &corev1.Secret{})
			w.Expect(w.Delete(w.ctx, c)).To(Succeed())
			breakIt(w, lost)
			w.Expect(w.keyWorks(lost)).To(BeFalse())
			w.machineIsRefused("worker-1")
			w.Eventually(func() bool { return w.keyWorks(get(w, mkev1.CredentialsSecretName, &corev1.Secret{})) }).Should(BeTrue())
			w.finishDeletion()
			gone(w, w.key.Name, &mkev1.MGCCluster{})
			w.Expect(w.cloud.ServiceAccounts()).To(BeEmpty())
		})
	}
}

func (w *world) revokeKeys(accountID string) {
	for _, k := range w.cloud.ActiveKeys(accountID) {
		w.Expect(w.cloud.Client(w.t).IAM.RevokeServiceAccountKey(w.ctx, accountID, k.UUID)).To(Succeed())
	}
}

func (w *world) deleteAccount(accountID string) {
	w.Expect(w.cloud.Client(w.t).IAM.DeleteServiceAccount(w.ctx, accountID)).To(Succeed())
}

// machineIsRefused plays the infrastructure provider, whose call was answered with 401.
func (w *world) machineIsRefused(name string) {
	w.Expect(w.Create(w.ctx, &infrav1.MGKMachine{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: name, Labels: map[string]string{clusterv1.ClusterNameLabel: w.key.Name}},
		Spec:       infrav1.MGKMachineSpec{MachineType: "BV4-8-40", Image: "cloud-mke-node-v1.34.2"},
	})).To(Succeed())
	update(w, name, &infrav1.MGKMachine{}, func(m *infrav1.MGKMachine) {
		conditions.Set(m, metav1.Condition{Type: infrav1.CloudReachableCondition, Status: metav1.ConditionFalse, Reason: "Unauthorized", Message: "401"})
	})
}
