package operator

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/catalog"
)

func jsonValues(name, value string) map[string]apiextensionsv1.JSON {
	return map[string]apiextensionsv1.JSON{name: {Raw: []byte(value)}}
}

func system(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: name}
}

// addon waits until an MGCAddon's status is as wanted.
func (w *world) addon(name string, wanted types.GomegaMatcher) *mkev1.MGCAddon {
	w.t.Helper()
	a := &mkev1.MGCAddon{}
	w.Eventually(func() mkev1.MGCAddonStatus { return get(w, name, a).Status }).Should(wanted, name)
	return a
}

func (w *world) live(o client.Object) client.Object {
	w.t.Helper()
	w.Eventually(func() error { return w.Get(w.ctx, client.ObjectKeyFromObject(o), o) }).Should(Succeed())
	return o
}

func TestAddonsAreRepairedAndPruned(t *testing.T) {
	w := newWorld(t)
	w.startOperator()
	w.createCluster()
	w.addon(catalog.CoreDNS, HaveField("Phase", mkev1.AddonPhasePending))
	w.infrastructureIsReady()
	for _, name := range []string{catalog.KubeProxy, catalog.Calico, catalog.CoreDNS, catalog.MetricsServer, catalog.CSI} {
		w.addon(name, And(HaveField("Revision", Not(BeEmpty())), HaveField("Version", Not(BeEmpty()))))
	}

	// Beside the cluster, an addon's objects are part of it.
	controller := get(w, "mgc-csi-controller", &appsv1.Deployment{})
	w.Expect(controller.OwnerReferences).To(ContainElement(HaveField("Kind", "MGCCluster")))

	// What somebody deletes or edits is put back.
	config := &corev1.ConfigMap{ObjectMeta: system("kube-proxy")}
	uid := w.live(config).GetUID()
	w.Expect(w.Delete(w.ctx, config)).To(Succeed())
	w.Eventually(func() bool { return w.live(config).GetUID() != uid }).Should(BeTrue())
	config.Data["config.conf"] = "broken"
	w.Expect(w.Update(w.ctx, config)).To(Succeed())
	w.Eventually(func() string {
		w.live(config)
		return config.Data["config.conf"]
	}).Should(ContainSubstring("nftables"))

	// A disabled addon goes, and only that.
	proxy := w.live(&appsv1.DaemonSet{ObjectMeta: system("kube-proxy")}).GetResourceVersion()
	update(w, catalog.MetricsServer, &mkev1.MGCAddon{}, func(a *mkev1.MGCAddon) { a.Spec.State = mkev1.AddonDisabled })
	// Foreground deletion waits for the garbage collector, which is not there.
	deployment := &appsv1.Deployment{ObjectMeta: system("metrics-server")}
	w.Eventually(func() *metav1.Time { return w.live(deployment).GetDeletionTimestamp() }).ShouldNot(BeNil())
	for _, o := range []client.Object{deployment, &corev1.Service{ObjectMeta: system("metrics-server")}, &corev1.ServiceAccount{ObjectMeta: system("metrics-server")},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "system:metrics-server"}}} {
		w.collect(o)
	}
	disabled := w.addon(catalog.MetricsServer, Or(HaveField("Phase", mkev1.AddonPhaseDisabled), HaveField("Phase", mkev1.AddonPhaseDeleting)))
	w.Expect(disabled.Status.Version).To(BeEmpty())
	w.Expect(w.live(&appsv1.DaemonSet{ObjectMeta: system("kube-proxy")}).GetResourceVersion()).To(Equal(proxy))

	// Settings change what is there.
	update(w, catalog.CoreDNS, &mkev1.MGCAddon{}, func(a *mkev1.MGCAddon) { a.Spec.Values = jsonValues("replicas", "3") })
	dns := &appsv1.Deployment{ObjectMeta: system("coredns")}
	w.Eventually(func() int32 {
		w.live(dns)
		return *dns.Spec.Replicas
	}).Should(BeEquivalentTo(3))
}

// collect plays the garbage collector.
func (w *world) collect(o client.Object) {
	w.t.Helper()
	w.Eventually(func() bool {
		err := w.Get(w.ctx, client.ObjectKeyFromObject(o), o)
		if err == nil && o.GetDeletionTimestamp() != nil {
			o.SetFinalizers(nil)
			_ = w.Update(w.ctx, o)
		}
		return apierrors.IsNotFound(err)
	}).Should(BeTrue(), "%T %s is still there", o, o.GetName())
}

// An addon that is refused harms no other, and what is not the addon's is not deleted with it.
func TestOneAddonFails(t *testing.T) {
	w := newWorld(t)
	foreign := &corev1.Service{ObjectMeta: system("kube-dns-elsewhere"), Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.10", Ports: []corev1.ServicePort{{Port: 53}}}}
	old := &corev1.Service{ObjectMeta: system("kube-dns")}
	w.Expect(client.IgnoreNotFound(w.Delete(w.ctx, old))).To(Succeed())
	w.Eventually(func() error { return w.Create(w.ctx, foreign) }).Should(Succeed())
	t.Cleanup(func() { _ = w.Delete(context.WithoutCancel(t.Context()), foreign) })
	w.startOperator()
	w.createCluster()
	w.infrastructureIsReady()
	w.addon(catalog.CoreDNS, And(HaveField("Phase", mkev1.AddonPhaseFailed), HaveField("Message", ContainSubstring("the cluster refuses a part of it"))))
	w.addon(catalog.Calico, HaveField("Revision", Not(BeEmpty())))
	w.Eventually(w.status).Should(HaveField("Message", "installing the cluster's network"))
	w.Expect(w.Delete(w.ctx, foreign)).To(Succeed())
	w.addon(catalog.CoreDNS, HaveField("Phase", mkev1.AddonPhaseApplying))
}

// CoreDNS of an earlier version of the platform was kubeadm's, whose Deployment has another selector.
func TestWorkloadsWithAnotherSelectorAreReplaced(t *testing.T) {
	w := newWorld(t)
	w.Expect(client.IgnoreNotFound(w.Delete(w.ctx, &appsv1.Deployment{ObjectMeta: system("coredns")}))).To(Succeed())
	labels := map[string]string{"k8s-app": "kube-dns"}
	old := &appsv1.Deployment{ObjectMeta: system("coredns"), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "coredns", Image: "coredns"}}}},
	}}
	w.Eventually(func() error { return w.Create(w.ctx, old) }).Should(Succeed())
	w.startOperator()
	w.createCluster()
	w.infrastructureIsReady()
	w.addon(catalog.CoreDNS, HaveField("Revision", Not(BeEmpty())))
	w.Expect(w.live(&appsv1.Deployment{ObjectMeta: system("coredns")}).GetUID()).NotTo(Equal(old.UID))
}
