package ccm

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/informers"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	cloudprovider "k8s.io/cloud-provider"
	servicecontroller "k8s.io/cloud-provider/controllers/service"

	"magalu.cloud/mke/internal/ccm/loadbalancer"
	"magalu.cloud/mke/internal/mgc"
)

const (
	serviceWorkers = 10
	// nodesPeriod is how long changes of Nodes are collected, so that many of them cost one change of a load balancer.
	nodesPeriod = 500 * time.Millisecond
)

// newLoadBalancers has a client of its own: what Services cost does not slow Nodes down.
func newLoadBalancers(o Options) (*loadbalancer.Provider, error) {
	hc, err := mgc.NewHTTPClient(o.CloudCAFile)
	if err != nil {
		return nil, err
	}
	c := &credentials{dir: o.CredentialsDir, endpoint: o.CloudEndpoint, http: hc}
	return loadbalancer.NewProvider(loadbalancer.NewManager(o.ClusterID, c.client)), nil
}

// newServiceController returns the controller of Services of type LoadBalancer.
func newServiceController(client kubernetes.Interface, factory informers.SharedInformerFactory, cloud cloudprovider.Interface) (*servicecontroller.Controller, error) {
	core := factory.Core().V1()
	c, err := servicecontroller.New(cloud, client, core.Services(), collectedNodes{core.Nodes()}, providerName, nil)
	if err != nil {
		return nil, fmt.Errorf("service controller: %w", err)
	}
	return c, nil
}

// withLoadBalancers is a provider that also has load balancers.
type withLoadBalancers struct {
	*Provider
	balancers cloudprovider.LoadBalancer
}

// LoadBalancer is supported.
func (w withLoadBalancers) LoadBalancer() (cloudprovider.LoadBalancer, bool) {
	return w.balancers, true
}

// collectedNodes is a Node informer that tells its handlers what happened in a period at the end of it, all together.
type collectedNodes struct{ coreinformers.NodeInformer }

// Informer returns the collecting informer.
func (n collectedNodes) Informer() cache.SharedIndexInformer {
	return collectingInformer{n.NodeInformer.Informer()}
}

type collectingInformer struct{ cache.SharedIndexInformer }

// AddEventHandlerWithResyncPeriod adds a handler that is told late.
func (i collectingInformer) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	var c collector
	return i.SharedIndexInformer.AddEventHandlerWithResyncPeriod(cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(o any, initial bool) { c.add(func() { h.OnAdd(o, initial) }) },
		UpdateFunc: func(before, o any) { c.add(func() { h.OnUpdate(before, o) }) },
		DeleteFunc: func(o any) { c.add(func() { h.OnDelete(o) }) },
	}, resync)
}

type collector struct {
	mu   sync.Mutex
	held []func()
}

func (c *collector) add(tell func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held = append(c.held, tell); len(c.held) == 1 {
		time.AfterFunc(nodesPeriod, c.flush)
	}
}

func (c *collector) flush() {
	c.mu.Lock()
	held := c.held
	c.held = nil
	c.mu.Unlock()
	for _, tell := range held {
		tell()
	}
}
