package mkeapi

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
)

// customerTimeout bounds a call to a customer's API server, which may be anything between starting and stopped.
const customerTimeout = 5 * time.Second

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
	clients map[string]customerClient
}

type customerClient struct {
	secretVersion string
	clientset     kubernetes.Interface
}

// NewClusters returns a Clusters that reads from the management cluster, past its cache and, what is asked for often, from it.
func NewClusters(kube, cached client.Reader) Clusters {
	return &clusterAccess{kube: kube, cached: cached, clients: map[string]customerClient{}}
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
	secret, err := a.secret(ctx, clusterID, clusterName)
	if err != nil {
		return nil, err
	}
	clientset, err := a.clientset(clusterID, secret)
	if err != nil {
		return nil, err
	}
	list, err := clientset.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: mkev1.NodePoolLabel + "=" + poolName})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// clientset keeps one client per cluster for as long as its kubeconfig stays the same.
func (a *clusterAccess) clientset(clusterID string, secret *corev1.Secret) (kubernetes.Interface, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.clients[clusterID]; ok && c.secretVersion == secret.ResourceVersion {
		return c.clientset, nil
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(secret.Data["value"])
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of cluster %s: %w", clusterID, err)
	}
	config.Timeout = customerTimeout
	clientset, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	a.clients[clusterID] = customerClient{secret.ResourceVersion, clientset}
	return clientset, nil
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
