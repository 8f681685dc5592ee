package ccm

import (
	"fmt"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	cloudprovider "k8s.io/cloud-provider"
	servicecontroller "k8s.io/cloud-provider/controllers/service"

	"magalu.cloud/mke/internal/ccm/loadbalancer"
	"magalu.cloud/mke/internal/mgc"
)

const serviceWorkers = 10

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
	c, err := servicecontroller.New(cloud, client, core.Services(), collectNodes(core.Nodes()), providerName, nil)
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
