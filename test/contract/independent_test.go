package contract

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc/mgctest"
	independent "magalu.cloud/mke/test/independent/client"
)

// TestIndependentClient lets a client that knows the published document only go through gateway and mke-api.
func TestIndependentClient(t *testing.T) {
	document := filepath.Join(cmp.Or(os.Getenv("MKE_OPENAPI_DIR"), "../../../shared/openapi"), "kubernetes.yaml")
	if _, err := os.Stat(document); err != nil {
		t.Skipf("NOT RUN: the published document is missing: %s (set MKE_OPENAPI_DIR)", document)
	}
	w := newWorld(t)
	w.startAPI()
	w.do("GET", "/v0/clusters", "", 200) // up
	w.playOperators()
	ca, err := os.ReadFile(w.file("tls.crt"))
	w.must(err)
	w.must(independent.Run(t.Context(), independent.Options{Document: document, Server: w.base, Key: mgctest.TenantKey, CA: ca, Name: "independent",
		Pause: 50 * time.Millisecond, Patience: patience, Log: t.Logf}))
}

// players do at once what operators, Cluster API and the namespace controller do, for every cluster until the test ends. The nodes of
// a pool are Nodes of the management API server, to which the kubeconfig of every cluster leads.
type players struct {
	*world
	nodes *kubernetes.Clientset
}

func (w *world) playOperators() {
	nodes, err := kubernetes.NewForConfig(config)
	w.must(err)
	p := players{w, nodes}
	ctx, stop := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	w.t.Cleanup(func() { stop(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := p.play(ctx); err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				w.t.Errorf("play the operators: %v", err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
}

func (p players) play(ctx context.Context) error {
	var clusters mkev1.MGCClusterList
	if err := p.kube.List(ctx, &clusters); err != nil {
		return err
	}
	for i := range clusters.Items {
		if err := p.playCluster(ctx, &clusters.Items[i]); err != nil {
			return err
		}
	}
	var pools mkev1.MGCNodePoolList
	if err := p.kube.List(ctx, &pools); err != nil {
		return err
	}
	for i := range pools.Items {
		if err := p.playPool(ctx, &pools.Items[i]); err != nil {
			return err
		}
	}
	return p.endNamespaces(ctx)
}

func (p players) playCluster(ctx context.Context, c *mkev1.MGCCluster) error {
	kubeconfig, err := os.ReadFile(p.file("kubeconfig"))
	if err != nil || c.Status.ObservedGeneration == c.Generation || !c.DeletionTimestamp.IsZero() {
		return err
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Name + "-kubeconfig"}, Data: map[string][]byte{"value": kubeconfig}}
	if err := p.kube.Create(ctx, secret); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for _, name := range []string{mkev1.CredentialsReadyCondition, mkev1.InfrastructureReadyCondition, mkev1.APIServerReadyCondition,
		mkev1.AddonsReadyCondition, mkev1.ControlPlaneReadyCondition, mkev1.ClusterReadyCondition} {
		meta.SetStatusCondition(&c.Status.Conditions, metav1.Condition{Type: name, Status: metav1.ConditionTrue, Reason: "Ready"})
	}
	c.Status.Phase, c.Status.Message, c.Status.ObservedGeneration = mkev1.ClusterRunning, "Ready", c.Generation
	c.Status.ControlPlaneEndpoint = mkev1.Endpoint{Host: "198.18.0.20", Port: 6443}
	return p.kube.Status().Update(ctx, c)
}

// playPool makes and removes nodes, and then says that the pool is as it is wanted.
func (p players) playPool(ctx context.Context, pool *mkev1.MGCNodePool) error {
	if pool.Status.ObservedGeneration == pool.Generation || !pool.DeletionTimestamp.IsZero() {
		return nil
	}
	want := pool.Spec.InitialReplicas
	if pool.Spec.Replicas != nil {
		want = *pool.Spec.Replicas
	}
	for i := range int32(4) {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%s-%d", pool.Spec.ClusterRef.Name, pool.Name, i), Labels: map[string]string{mkev1.NodePoolLabel: pool.Name}}}
		if i >= want {
			if err := p.kube.Delete(ctx, node); client.IgnoreNotFound(err) != nil {
				return err
			}
			continue
		}
		if err := p.kube.Create(ctx, node); apierrors.IsAlreadyExists(err) {
			continue
		} else if err != nil {
			return err
		}
		node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady"}}
		if err := p.kube.Status().Update(ctx, node); err != nil {
			return err
		}
	}
	pool.Status.Phase, pool.Status.Message, pool.Status.ObservedGeneration = mkev1.NodePoolRunning, "ready", pool.Generation
	return p.kube.Status().Update(ctx, pool)
}

func (p players) endNamespaces(ctx context.Context) error {
	var namespaces corev1.NamespaceList
	if err := p.kube.List(ctx, &namespaces); err != nil {
		return err
	}
	for i := range namespaces.Items {
		ns := &namespaces.Items[i]
		if ns.DeletionTimestamp.IsZero() || len(ns.Spec.Finalizers) == 0 {
			continue
		}
		ns.Spec.Finalizers = nil
		if _, err := p.nodes.CoreV1().Namespaces().Finalize(ctx, ns, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}
