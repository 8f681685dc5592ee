package ccm

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// nodesPeriod is how long changes of Nodes are collected.
const nodesPeriod = 500 * time.Millisecond

// collectedNodes is a Node informer that tells its handlers what happened in a period at the end of it, all together, and until then lists
// the Nodes as they were: a hundred Nodes that come together cost one change of a load balancer. Other users of the informer see
// everything at once.
type collectedNodes struct {
	coreinformers.NodeInformer
	*collector
}

func collectNodes(nodes coreinformers.NodeInformer) collectedNodes {
	return collectedNodes{nodes, &collector{nodes: nodes.Lister()}}
}

// Informer returns the collecting informer.
func (n collectedNodes) Informer() cache.SharedIndexInformer {
	return collectingInformer{n.NodeInformer.Informer(), n.collector}
}

// Lister returns the lister that fits it.
func (n collectedNodes) Lister() corelisters.NodeLister {
	return collectingLister{n.NodeInformer.Lister(), n.collector}
}

type collectingInformer struct {
	cache.SharedIndexInformer
	*collector
}

// AddEventHandlerWithResyncPeriod adds a handler that is told late.
func (i collectingInformer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, initial bool) { i.hold(func() { h.OnAdd(o, initial) }) },
		UpdateFunc: func(before, o any) { i.hold(func() { h.OnUpdate(before, o) }) },
		DeleteFunc: func(o any) { i.hold(func() { h.OnDelete(o) }) },
	}, resync)
}

type collectingLister struct {
	corelisters.NodeLister
	*collector
}

// List returns the Nodes that handlers know of.
func (l collectingLister) List(selector labels.Selector) ([]*corev1.Node, error) {
	known, pending := l.known()
	if !pending {
		return l.NodeLister.List(selector)
	}
	var out []*corev1.Node
	for _, n := range known {
		if selector.Matches(labels.Set(n.Labels)) {
			out = append(out, n)
		}
	}
	return out, nil
}

type collector struct {
	nodes corelisters.NodeLister

	mu       sync.Mutex
	held     []func()
	snapshot []*corev1.Node // when handlers were last told
}

func (c *collector) hold(tell func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held = append(c.held, tell); len(c.held) == 1 {
		time.AfterFunc(nodesPeriod, c.tell)
	}
}

func (c *collector) tell() {
	c.mu.Lock()
	held := c.held
	c.held = nil
	if nodes, err := c.nodes.List(labels.Everything()); err == nil {
		c.snapshot = nodes
	}
	c.mu.Unlock()
	for _, tell := range held {
		tell()
	}
}

// known returns the Nodes as of the last telling, and whether there is something that has not been told.
func (c *collector) known() ([]*corev1.Node, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.snapshot, len(c.held) > 0 && c.snapshot != nil
}
