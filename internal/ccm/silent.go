package ccm

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	coordinationlisters "k8s.io/client-go/listers/coordination/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// silentAfter is how old a kubelet's lease may be. Kubelets renew them every 10 s.
const silentAfter = 15 * time.Second

// silentNodes is a Node informer that shows Nodes whose kubelet has gone silent as not ready at once. The controller manager in the
// cluster takes the better part of a minute to say so, and the lifecycle controller asks the cloud only about Nodes that are not ready.
type silentNodes struct {
	coreinformers.NodeInformer
	leases coordinationlisters.LeaseNamespaceLister
	now    func() time.Time
}

// Lister returns a lister over the changed view.
func (s silentNodes) Lister() corelisters.NodeLister {
	return silentLister{s.NodeInformer.Lister(), s}
}

type silentLister struct {
	corelisters.NodeLister
	silentNodes
}

// List returns all Nodes, silent ones as not ready.
func (l silentLister) List(selector labels.Selector) ([]*corev1.Node, error) {
	nodes, err := l.NodeLister.List(selector)
	for n, node := range nodes {
		if l.silent(node.Name) {
			nodes[n] = notReady(node)
		}
	}
	return nodes, err
}

// silent is true if the Node has a lease that is not being renewed.
func (s silentNodes) silent(node string) bool {
	lease, err := s.leases.Get(node)
	return err == nil && lease.Spec.RenewTime != nil && s.now().Sub(lease.Spec.RenewTime.Time) > silentAfter
}

func notReady(node *corev1.Node) *corev1.Node {
	node = node.DeepCopy()
	for n := range node.Status.Conditions {
		if node.Status.Conditions[n].Type == corev1.NodeReady {
			node.Status.Conditions[n].Status = corev1.ConditionUnknown
		}
	}
	return node
}
