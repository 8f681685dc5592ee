package operator

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	mkev1 "magalu.cloud/mke/api/v1"
)

// keepReplicas is the rule of Cluster API's own defaulting of MachineDeployments: a number of machines that nobody applies any more stays, if
// there are bounds, within them; else it becomes 1.
func keepReplicas(_ context.Context, req admission.Request) admission.Response {
	before, after := &clusterv1.MachineDeployment{}, &clusterv1.MachineDeployment{}
	if err := json.Unmarshal(req.Object.Raw, after); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if after.Spec.Replicas != nil {
		return admission.Allowed("")
	}
	n := 1
	lowest, errMin := strconv.Atoi(after.Annotations[clusterv1.AutoscalerMinSizeAnnotation])
	highest, errMax := strconv.Atoi(after.Annotations[clusterv1.AutoscalerMaxSizeAnnotation])
	if errMin == nil && errMax == nil {
		n = lowest
		if json.Unmarshal(req.OldObject.Raw, before) == nil {
			n = min(max(lowest, int(*before.Spec.Replicas)), highest)
		}
	}
	after.Spec.Replicas = ptr.To(int32(n))
	defaulted, err := json.Marshal(after)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, defaulted)
}

// startWebhook runs keepReplicas for the test's MachineDeployments.
func (w *world) startWebhook() {
	w.t.Helper()
	none, path := admissionv1.SideEffectClassNone, "/mutate-cluster-x-k8s-io-v1beta2-machinedeployment"
	hooks := envtest.WebhookInstallOptions{MutatingWebhooks: []*admissionv1.MutatingWebhookConfiguration{{
		ObjectMeta: metav1.ObjectMeta{Name: w.key.Namespace},
		Webhooks: []admissionv1.MutatingWebhook{{
			Name: "machinedeployment.cluster.x-k8s.io", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig:      admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "default", Name: "hooks", Path: &path}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.key.Namespace}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{clusterv1.GroupVersion.Group}, APIVersions: []string{"v1beta2"}, Resources: []string{"machinedeployments"}},
			}},
		}},
	}}}
	w.Expect(hooks.Install(config)).To(Succeed())
	server := webhook.NewServer(webhook.Options{Host: hooks.LocalServingHost, Port: hooks.LocalServingPort, CertDir: hooks.LocalServingCertDir})
	server.Register(path, &admission.Webhook{Handler: admission.HandlerFunc(keepReplicas)})
	ctx, done := w.ctx, make(chan error)
	go func() { done <- server.Start(ctx) }()
	w.t.Cleanup(func() {
		if err := <-done; err != nil {
			w.t.Error(err)
		}
		if err := hooks.Cleanup(); err != nil {
			w.t.Error(err)
		}
	})
	started := server.StartedChecker()
	w.Eventually(func() error { return started(nil) }).Should(Succeed())
}

func (w *world) machines(pool string) int {
	md := &clusterv1.MachineDeployment{}
	w.Expect(w.Get(w.ctx, client.ObjectKey{Namespace: w.key.Namespace, Name: pool}, md)).To(Succeed())
	return int(ptr.Deref(md.Spec.Replicas, -1))
}

// TestNoFightOverReplicas: while somebody changes the pool again and again, the operator takes back nothing of what the autoscaler wrote.
func TestNoFightOverReplicas(t *testing.T) {
	w := newWorld(t)
	w.startWebhook()
	w.startOperator()
	w.createCluster()
	w.createPool("nodepool01", 3)
	md := get(w, "nodepool01", &clusterv1.MachineDeployment{})
	w.Expect(w.machines("nodepool01")).To(Equal(3))
	pool := &mkev1.MGCNodePool{}
	change := func(f func(*mkev1.MGCNodePoolSpec)) {
		update(w, "nodepool01", pool, func(p *mkev1.MGCNodePool) { f(&p.Spec) })
	}

	// A pool that becomes autoscaled keeps its nodes, and the number of them is the operator's no more.
	change(func(p *mkev1.MGCNodePoolSpec) { p.AutoScale = &mkev1.AutoScale{MinReplicas: 1, MaxReplicas: 100} })
	w.Eventually(func() map[string]string { return get(w, "nodepool01", md).Annotations }).Should(HaveKeyWithValue(clusterv1.AutoscalerMaxSizeAnnotation, "100"))
	w.Expect(w.machines("nodepool01")).To(Equal(3))

	for n := 4; n <= 40; n++ {
		if n%2 == 0 {
			change(func(p *mkev1.MGCNodePoolSpec) { p.Labels = map[string]string{"n": fmt.Sprint(n)} })
		}
		w.Eventually(func() error {
			get(w, "nodepool01", md)
			w.Expect(*md.Spec.Replicas).To(BeEquivalentTo(n-1), "somebody overruled the autoscaler")
			before := md.DeepCopy()
			md.Spec.Replicas = ptr.To(int32(n))
			return w.Patch(w.ctx, md, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		}).Should(Or(Succeed(), Satisfy(apierrors.IsConflict)))
		if w.machines("nodepool01") != n {
			n-- // a conflict
		}
	}
	w.Eventually(func() int32 { return get(w, "nodepool01", pool).Status.DesiredReplicas }).Should(BeEquivalentTo(40))

	// Bounds pull; a number that somebody sets is taken once.
	change(func(p *mkev1.MGCNodePoolSpec) { p.AutoScale.MaxReplicas = 20 })
	w.Eventually(func() int { return w.machines("nodepool01") }).Should(Equal(20))
	change(func(p *mkev1.MGCNodePoolSpec) { p.Replicas, p.ReplicasRevision = ptr.To[int32](5), 7 })
	w.Eventually(func() int { return w.machines("nodepool01") }).Should(Equal(5))
	update(w, "nodepool01", md, func(md *clusterv1.MachineDeployment) {
		md.Spec.Replicas = ptr.To[int32](6)
		md.Annotations[mkev1.AutoscalerStatusAnnotation] = `{"state":"Blocked","message":"the quota is used up"}`
	})
	w.Eventually(func() *mkev1.AutoscalerStatus { return get(w, "nodepool01", pool).Status.Autoscaler }).Should(HaveField("Message", "the quota is used up"))
	w.Expect(w.machines("nodepool01")).To(Equal(6))

	// A pool that stops being autoscaled has nothing left of it.
	change(func(p *mkev1.MGCNodePoolSpec) { p.AutoScale, p.Replicas = nil, ptr.To[int32](4) })
	w.Eventually(func() int { return w.machines("nodepool01") }).Should(Equal(4))
	w.Eventually(func() map[string]string { return get(w, "nodepool01", md).Annotations }).ShouldNot(Or(
		HaveKey(clusterv1.AutoscalerMinSizeAnnotation), HaveKey(mkev1.ZonesAnnotation), HaveKey("capacity.cluster-autoscaler.kubernetes.io/cpu"),
		HaveKey(mkev1.AutoscalerStatusAnnotation), HaveKey(mkev1.ReplicasRevisionAnnotation)))
}

// TestAutoscalerComesAndGoes with the cluster's autoscaled pools, and ends before the machines when the cluster does.
func TestAutoscalerComesAndGoes(t *testing.T) {
	w := newWorld(t)
	w.startOperator()
	w.createCluster()
	w.createPool("fixed", 1)
	get(w, "fixed", &clusterv1.MachineDeployment{})
	w.infrastructureIsReady()
	get(w, "mke-ccm", &appsv1.Deployment{})
	name := client.ObjectKey{Namespace: w.key.Namespace, Name: "mke-autoscaler"}
	w.Consistently(func() bool { return apierrors.IsNotFound(w.Get(w.ctx, name, &appsv1.Deployment{})) }).Should(BeTrue())

	pool := &mkev1.MGCNodePool{}
	scale := func(bounds *mkev1.AutoScale) {
		update(w, "fixed", pool, func(p *mkev1.MGCNodePool) { p.Spec.AutoScale = bounds })
	}
	scale(&mkev1.AutoScale{MaxReplicas: 3})
	get(w, name.Name, &appsv1.Deployment{})
	get(w, name.Name, &corev1.ServiceAccount{})
	get(w, name.Name, &rbacv1.RoleBinding{})

	scale(nil)
	w.endDeployment(name)
	gone(w, name.Name, &corev1.ServiceAccount{})
	gone(w, name.Name, &rbacv1.RoleBinding{})

	scale(&mkev1.AutoScale{MaxReplicas: 3})
	get(w, name.Name, &appsv1.Deployment{})
	w.Expect(w.Delete(w.ctx, &mkev1.MGCCluster{ObjectMeta: metav1.ObjectMeta{Namespace: w.key.Namespace, Name: w.key.Name}})).To(Succeed())
	w.Eventually(w.status).Should(HaveField("Message", "stopping the cluster autoscaler"))
	w.Expect(get(w, "fixed", pool).DeletionTimestamp).To(BeNil())
	w.endDeployment(name)
	w.Eventually(func() *metav1.Time { return get(w, w.key.Name, &clusterv1.Cluster{}).DeletionTimestamp }).ShouldNot(BeNil())
	w.finishDeletion()
	gone(w, w.key.Name, &mkev1.MGCCluster{})
}

// endDeployment plays the garbage collector for one Deployment, once it is being deleted.
func (w *world) endDeployment(name client.ObjectKey) {
	w.t.Helper()
	d := &appsv1.Deployment{}
	w.Eventually(func() error {
		if err := w.Get(w.ctx, name, d); err != nil || d.DeletionTimestamp.IsZero() {
			return fmt.Errorf("not being deleted: %w", err)
		}
		d.Finalizers = nil
		return w.Update(w.ctx, d)
	}).Should(Succeed())
}
