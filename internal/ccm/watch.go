package ccm

import (
	"context"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	clientscheme "k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	mkev1 "magalu.cloud/mke/api/v1"
)

// healthWorkers is how many Nodes are looked at at the same time: when a zone fails, many at once.
const healthWorkers = 10

// healthController feeds health with Nodes: new ones, those whose patience with the kubelet ends, and fenced ones that are back.
type healthController struct {
	*health
	queue workqueue.TypedRateLimitingInterface[string]
}

func newHealthController(client kubernetes.Interface, factory, leases informers.SharedInformerFactory, provider *Provider) (*healthController, error) {
	nodes := factory.Core().V1().Nodes()
	c := &healthController{
		health: &health{client: client, nodes: nodes.Lister(), vm: provider.instance, beats: newHeartbeats(time.Now), now: time.Now, told: map[string]string{}},
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](100*time.Millisecond, 10*time.Second)),
	}
	name := func(o any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(o); err == nil {
			c.queue.Add(key)
		}
	}
	if _, err := nodes.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: name, DeleteFunc: name}); err != nil {
		return nil, err
	}
	heard := func(o any) {
		if lease, ok := o.(*coordinationv1.Lease); ok {
			c.heard(lease)
		}
	}
	_, err := leases.Coordination().V1().Leases().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: heard, UpdateFunc: func(_, o any) { heard(o) }})
	return c, err
}

// heard records a kubelet's sign of life. A healthy Node costs no more than that; a fenced one is looked at.
func (c *healthController) heard(lease *coordinationv1.Lease) {
	c.beats.record(lease)
	node, err := c.nodes.Get(lease.Name)
	if err == nil && hasCondition(node, mkev1.VMStoppedNodeCondition, corev1.ConditionTrue) {
		c.queue.Add(lease.Name)
	}
}

// run works until ctx ends.
func (c *healthController) run(ctx context.Context) {
	broadcaster := record.NewBroadcaster(record.WithContext(ctx))
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: c.client.CoreV1().Events("")})
	c.recorder = broadcaster.NewRecorder(clientscheme.Scheme, corev1.EventSource{Component: "mke-ccm"})
	defer broadcaster.Shutdown()
	for range healthWorkers {
		go func() {
			for c.next(ctx) {
			}
		}()
	}
	<-ctx.Done()
	c.queue.ShutDownWithDrain()
}

func (c *healthController) next(ctx context.Context) bool {
	node, done := c.queue.Get()
	if done {
		return false
	}
	defer c.queue.Done(node)
	again, err := c.sync(ctx, node)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		klog.ErrorS(err, "Cannot handle the node, trying again", "node", node)
		c.queue.AddRateLimited(node)
		return true
	case again > 0:
		c.queue.AddAfter(node, again)
	}
	c.queue.Forget(node)
	return true
}
