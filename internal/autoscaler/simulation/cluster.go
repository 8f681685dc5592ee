// Package simulation answers "would this pod fit there" for clusters that do not exist yet: the cluster of now with nodes and pods added or
// taken out, judged by the filters of the real kube-scheduler.
package simulation

import (
	"context"
	"slices"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	"k8s.io/kubernetes/pkg/scheduler/framework"
)

// discard keeps the plugins quiet: that a pod does not fit is an answer here, not an event worth a line.
var discard = logr.Discard()

// Cluster is the simulated cluster. It is not safe for concurrent use.
type Cluster struct {
	framework framework.Framework
	snapshot  *snapshot
	csi       *csiNodes
	infos     map[types.UID]*framework.PodInfo // of the pods of the last Reset: what has not changed is not parsed again
}

// New makes an empty cluster. It asks informers for what the filters look up besides nodes and pods (volumes, classes, CSI nodes,
// namespaces): the caller starts them afterwards and waits for them.
func New(ctx context.Context, informers informers.SharedInformerFactory) (*Cluster, error) {
	c := &Cluster{
		snapshot: newSnapshot(0),
		csi:      &csiNodes{cluster: informers.Storage().V1().CSINodes().Lister(), imagined: map[string]*storagev1.CSINode{}},
	}
	fw, err := newFramework(quiet(ctx), informers, c.snapshot, c.csi)
	if err != nil {
		return nil, err
	}
	c.framework = fw
	return c, nil
}

func quiet(ctx context.Context) context.Context { return klog.NewContext(ctx, discard) }

// Reset makes the cluster these nodes with those of the pods that are bound to one of them, and with the pods that DaemonSets have not
// brought there yet. Open forks are taken back.
func (c *Cluster) Reset(nodes []*corev1.Node, pods []*corev1.Pod, sets []*appsv1.DaemonSet) {
	for len(c.snapshot.marks) > 0 {
		c.Revert()
	}
	undo(c.snapshot.held, 0)
	clear(c.csi.imagined)
	byNode := make(map[string][]fwk.PodInfo, len(nodes))
	infos := make(map[types.UID]*framework.PodInfo, len(pods))
	for _, pod := range pods {
		if pod.Spec.NodeName == "" {
			continue
		}
		info := c.infos[pod.UID]
		if info == nil || info.Pod != pod {
			info = newPodInfo(pod)
		}
		infos[pod.UID] = info
		byNode[pod.Spec.NodeName] = append(byNode[pod.Spec.NodeName], info)
	}
	c.infos = infos
	*c.snapshot = *newSnapshot(len(nodes))
	daemons := newDaemons(sets)
	for _, node := range nodes {
		c.snapshot.addNode(newNodeInfo(node, daemons.complete(node, byNode[node.Name])))
	}
}

// Fork begins changes that Revert takes back and Commit keeps. Forks nest.
func (c *Cluster) Fork()   { c.snapshot.fork() }
func (c *Cluster) Revert() { c.snapshot.revert() }
func (c *Cluster) Commit() { c.snapshot.commit() }

// Len is how many nodes there are; their indices run from 0, and new nodes come last.
func (c *Cluster) Len() int { return len(c.snapshot.nodes) }

// Node returns the node of that name, nil when there is none.
func (c *Cluster) Node(name string) *Node { return c.snapshot.byName[name] }

// Nodes lists the nodes in the order of their indices.
func (c *Cluster) Nodes() []*Node { return slices.Clone(c.snapshot.nodes) }

// AddNode adds a node with the pods that it comes with.
func (c *Cluster) AddNode(node *corev1.Node, pods []*framework.PodInfo, csi *storagev1.CSINode) *Node {
	infos := make([]fwk.PodInfo, len(pods))
	for i, pod := range pods {
		infos[i] = pod
	}
	if csi != nil {
		c.csi.imagined[node.Name] = csi
		c.snapshot.onRevert(func() { delete(c.csi.imagined, node.Name) })
	}
	return c.snapshot.addNode(newNodeInfo(node, infos))
}

// RemoveNode takes a node and its pods out.
func (c *Cluster) RemoveNode(n *Node) { c.snapshot.removeNode(n) }

func newNodeInfo(node *corev1.Node, pods []fwk.PodInfo) *framework.NodeInfo {
	info := framework.NewNodeInfo()
	info.SetNode(node)
	info.Pods = make([]fwk.PodInfo, 0, len(pods))
	for _, pod := range pods {
		info.AddPodInfo(pod)
	}
	return info
}

// newPodInfo parses the pod once.
func newPodInfo(pod *corev1.Pod) *framework.PodInfo {
	// The API server does not check all selectors; the scheduler ignores the broken ones, too.
	info, _ := framework.NewPodInfo(identified(pod))
	info.CalculateResource()
	return info
}

// identified is the pod itself, or with its name for a UID when it has none: the scheduler tells pods apart by UID.
func identified(pod *corev1.Pod) *corev1.Pod {
	if pod.UID != "" {
		return pod
	}
	named := *pod
	named.UID = types.UID(pod.Namespace + "/" + pod.Name)
	return &named
}
