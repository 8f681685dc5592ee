package mkeapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/lru"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
)

const (
	// customerTimeout bounds a call to a customer's API server, which may be anything between starting and stopped.
	customerTimeout = 5 * time.Second
	// maxCustomerAnswer is room for 2000 nodes.
	maxCustomerAnswer = 64 << 20
	// maxCustomerClients are kept; those that were not used for longest are made anew when they are needed.
	maxCustomerClients = 200
	// customerQPS is high: a page of graphs asks for many series at once.
	customerQPS, customerBurst = 100, 200
)

// Machine is a machine of a node pool, with or without a node.
type Machine struct {
	ID        string // of the instance, empty until it exists
	Name      string
	NodeName  string // empty until the machine has joined the cluster
	CreatedAt time.Time
	Addresses []corev1.NodeAddress
	Deleting  bool
}

// clusterAccess reaches clusters through the Secrets and Machines in the management cluster.
type clusterAccess struct {
	kube   client.Reader // uncached: Secrets of customers are not kept in memory
	cached client.Reader

	mu      sync.Mutex
	clients *lru.Cache // of customerClient, by cluster
}

// customerClient is a connection, kept for as long as the kubeconfig stays the same.
type customerClient struct {
	secretVersion string
	clientset     kubernetes.Interface
	transport     http.RoundTripper
}

// NewClusters returns a Clusters that reads from the management cluster, past its cache and, what is asked for often, from it.
func NewClusters(kube, cached client.Reader) Clusters {
	closeIdle := func(_ lru.Key, client any) { utilnet.CloseIdleConnectionsFor(client.(customerClient).transport) }
	return &clusterAccess{kube: kube, cached: cached, clients: lru.NewWithEvictionFunc(maxCustomerClients, closeIdle)}
}

func (a *clusterAccess) Addons(ctx context.Context, clusterID string) ([]mkev1.MGCAddon, error) {
	ctx, cancel := context.WithTimeout(ctx, customerTimeout) // a cache that was never filled waits
	defer cancel()
	var list mkev1.MGCAddonList
	err := a.cached.List(ctx, &list, client.InNamespace(mkev1.ClusterNamespace(clusterID)))
	return list.Items, err
}

func (a *clusterAccess) Kubeconfig(ctx context.Context, clusterID, clusterName string) ([]byte, error) {
	secret, err := a.secret(ctx, clusterID, clusterName)
	if err != nil {
		return nil, err
	}
	return secret.Data["value"], nil
}

func (a *clusterAccess) secret(ctx context.Context, clusterID, clusterName string) (*corev1.Secret, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: mkev1.ClusterNamespace(clusterID), Name: clusterName + "-kubeconfig"}
	err := a.kube.Get(ctx, key, &secret)
	if apierrors.IsNotFound(err) || err == nil && len(secret.Data["value"]) == 0 {
		return nil, errNotReady
	}
	return &secret, err
}

func (a *clusterAccess) Nodes(ctx context.Context, clusterID, clusterName, poolName string) ([]corev1.Node, error) {
	clientset, err := a.clientset(ctx, clusterID, clusterName)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, customerTimeout)
	defer cancel()
	list, err := clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: mkev1.NodePoolLabel + "=" + poolName})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// clientset connects to a customer's API server.
func (a *clusterAccess) clientset(ctx context.Context, clusterID, clusterName string) (kubernetes.Interface, error) {
	secret, err := a.secret(ctx, clusterID, clusterName)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old, ok := a.clients.Get(clusterID); ok {
		if c := old.(customerClient); c.secretVersion == secret.ResourceVersion {
			return c.clientset, nil
		}
		a.clients.Remove(clusterID)
	}
	c, err := connect(secret)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of cluster %s: %w", clusterID, err)
	}
	a.clients.Add(clusterID, c)
	return c.clientset, nil
}

func connect(secret *corev1.Secret) (customerClient, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data["value"])
	if err != nil {
		return customerClient{}, err
	}
	config.QPS, config.Burst = customerQPS, customerBurst
	// A proxy function keeps the transport out of client-go's cache, which never forgets a cluster.
	config.Proxy = http.ProxyFromEnvironment
	hc, err := rest.HTTPClientFor(config)
	if err != nil {
		return customerClient{}, err
	}
	transport := hc.Transport
	hc.Transport = limitAnswers{transport}
	clientset, err := kubernetes.NewForConfigAndClient(config, hc)
	return customerClient{secret.ResourceVersion, clientset, transport}, err
}

// limitAnswers bounds what a customer's cluster can make us read.
type limitAnswers struct{ http.RoundTripper }

func (l limitAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxCustomerAnswer)
	}
	return res, err
}

func (a *clusterAccess) Machines(ctx context.Context, clusterID, poolID, poolName string) ([]Machine, error) {
	var list clusterv1.MachineList
	if err := a.kube.List(ctx, &list, client.InNamespace(mkev1.ClusterNamespace(clusterID))); err != nil {
		return nil, err
	}
	var machines []Machine
	for i := range list.Items {
		m := &list.Items[i]
		if m.Labels[mkev1.NodePoolIDLabel] == poolID || m.Labels[mkev1.NodePoolLabel] == poolName {
			machines = append(machines, toMachine(m))
		}
	}
	return machines, nil
}

func toMachine(m *clusterv1.Machine) Machine {
	result := Machine{
		ID: m.Spec.ProviderID[strings.LastIndex(m.Spec.ProviderID, "/")+1:], Name: m.Name, NodeName: m.Status.NodeRef.Name,
		CreatedAt: m.CreationTimestamp.UTC(), Deleting: !m.DeletionTimestamp.IsZero(),
	}
	for _, addr := range m.Status.Addresses {
		result.Addresses = append(result.Addresses, corev1.NodeAddress{Type: corev1.NodeAddressType(addr.Type), Address: addr.Address})
	}
	return result
}
