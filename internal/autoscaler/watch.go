package autoscaler

import (
	"errors"
	"sync/atomic"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	storagelisters "k8s.io/client-go/listers/storage/v1"
	toolscache "k8s.io/client-go/tools/cache"
)

// watched is the customer's cluster in informers' caches.
type watched struct {
	factory informers.SharedInformerFactory
	nodes   corelisters.NodeLister
	pods    corelisters.PodLister
	daemons appslisters.DaemonSetLister
	budgets policylisters.PodDisruptionBudgetLister
	csi     storagelisters.CSINodeLister
}

func newWatched(f informers.SharedInformerFactory) *watched {
	return &watched{
		factory: f,
		nodes:   f.Core().V1().Nodes().Lister(), pods: f.Core().V1().Pods().Lister(), daemons: f.Apps().V1().DaemonSets().Lister(),
		budgets: f.Policy().V1().PodDisruptionBudgets().Lister(), csi: f.Storage().V1().CSINodes().Lister(),
	}
}

func (w *watched) Nodes() ([]*corev1.Node, error) { return w.nodes.List(labels.Everything()) }

func (w *watched) Pods() ([]*corev1.Pod, error) { return w.pods.List(labels.Everything()) }

func (w *watched) DaemonSets() ([]*appsv1.DaemonSet, error) {
	return w.daemons.List(labels.Everything())
}

func (w *watched) PDBs() ([]*policyv1.PodDisruptionBudget, error) {
	return w.budgets.List(labels.Everything())
}

func (w *watched) CSINode(node string) *storagev1.CSINode {
	n, err := w.csi.Get(node)
	if err != nil {
		return nil
	}
	return n
}

// waker tells the loop that something happened.
type waker struct {
	touched atomic.Bool
	signal  chan struct{}
}

func (w *waker) touch() { w.touched.Store(true) }

func (w *waker) wake() {
	w.touch()
	select {
	case w.signal <- struct{}{}:
	default:
	}
}

// clear drops a signal for what the next look sees anyway.
func (w *waker) clear() {
	select {
	case <-w.signal:
	default:
	}
}

func (w *waker) always() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { w.wake() }, UpdateFunc: func(any, any) { w.wake() }, DeleteFunc: func(any) { w.wake() },
	}
}

// wake has the loop woken by what it should act on at once; what matters for later decisions only, it is told of.
func (w *watched) wake(to *waker) error {
	_, err1 := w.factory.Core().V1().Pods().Informer().AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if unschedulable(o.(*corev1.Pod)) {
				to.wake()
			} else {
				to.touch()
			}
		},
		UpdateFunc: func(before, after any) { podChanged(to, before.(*corev1.Pod), after.(*corev1.Pod)) },
		DeleteFunc: func(any) { to.wake() },
	})
	_, err2 := w.factory.Core().V1().Nodes().Informer().AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { to.wake() },
		UpdateFunc: func(before, after any) {
			if nodeChanged(before.(*corev1.Node), after.(*corev1.Node)) {
				to.wake()
			}
		},
		DeleteFunc: func(any) { to.wake() },
	})
	later := toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { to.touch() }, UpdateFunc: func(any, any) { to.touch() }, DeleteFunc: func(any) { to.touch() },
	}
	_, err3 := w.factory.Policy().V1().PodDisruptionBudgets().Informer().AddEventHandler(later)
	_, err4 := w.factory.Apps().V1().DaemonSets().Informer().AddEventHandler(later)
	w.factory.Storage().V1().CSINodes().Informer()
	return errors.Join(err1, err2, err3, err4)
}

func podChanged(to *waker, before, after *corev1.Pod) {
	switch {
	case unschedulable(after) && !unschedulable(before):
		to.wake()
	case before.Spec.NodeName != after.Spec.NodeName, before.Status.Phase != after.Status.Phase,
		(before.DeletionTimestamp == nil) != (after.DeletionTimestamp == nil), !equality.Semantic.DeepEqual(before.Annotations, after.Annotations):
		to.touch()
	}
}

func nodeChanged(before, after *corev1.Node) bool {
	return isReady(before) != isReady(after) || before.Spec.Unschedulable != after.Spec.Unschedulable || before.Spec.ProviderID != after.Spec.ProviderID ||
		!equality.Semantic.DeepEqual(before.Spec.Taints, after.Spec.Taints) || !equality.Semantic.DeepEqual(before.Labels, after.Labels) ||
		!equality.Semantic.DeepEqual(before.Annotations, after.Annotations) || !equality.Semantic.DeepEqual(before.Status.Allocatable, after.Status.Allocatable)
}
