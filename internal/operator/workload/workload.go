// Package workload connects to customers' API servers with the kubeconfig that Cluster API keeps.
package workload

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/cluster-api/util/secret"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ErrNoKubeconfig says that Cluster API has not made the kubeconfig yet.
var ErrNoKubeconfig = errors.New("the cluster has no kubeconfig yet")

const (
	callTimeout = 10 * time.Second
	// probeTimeout is short: an API server that is up answers within milliseconds, and the caller asks again.
	probeTimeout = time.Second
)

// Connector makes clients of customer clusters.
type Connector struct {
	// Reader reads kubeconfig Secrets; it should not cache all Secrets.
	Reader client.Reader
}

// Client of one customer cluster. Close it after use.
type Client struct {
	client.Client
	// Config is how the cluster is reached.
	Config *rest.Config
	http   *http.Client
	// kubeconfig is the version of the Secret that the client was made from.
	kubeconfig string
}

// Connect returns a client of the cluster. Apart from the first request, which it does not send, nothing is known to work.
func (c *Connector) Connect(ctx context.Context, cluster client.ObjectKey) (*Client, error) {
	return c.Reconnect(ctx, cluster, nil)
}

// Reconnect returns old as long as the kubeconfig that it was made from is the current one, else a new client. Old may be nil.
func (c *Connector) Reconnect(ctx context.Context, cluster client.ObjectKey, old *Client) (*Client, error) {
	s := &corev1.Secret{}
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: secret.Name(cluster.Name, secret.Kubeconfig)}
	if err := c.Reader.Get(ctx, key, s); apierrors.IsNotFound(err) {
		return nil, ErrNoKubeconfig
	} else if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	version := string(s.UID) + "/" + s.ResourceVersion
	if old != nil && old.kubeconfig == version {
		return old, nil
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(s.Data[secret.KubeconfigDataName])
	if err != nil {
		return nil, fmt.Errorf("parse the kubeconfig: %w", err)
	}
	cfg.QPS, cfg.Burst, cfg.Timeout = 100, 200, callTimeout
	// A proxy function keeps the transport out of client-go's cache, which never forgets a cluster.
	cfg.Proxy = http.ProxyFromEnvironment
	hc, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return nil, err
	}
	cl, err := client.New(cfg, client.Options{HTTPClient: hc})
	if err != nil {
		return nil, err
	}
	return &Client{Client: cl, Config: cfg, http: hc, kubeconfig: version}, nil
}

// Watching returns an HTTP client over the same connections for requests that last.
func (c *Client) Watching() *http.Client { return &http.Client{Transport: c.http.Transport} }

// Close drops the connections.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }

// Answers is nil once the API server serves requests and has its system namespace, so that objects can be written into it.
func (c *Client) Answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return c.Get(ctx, client.ObjectKey{Name: "kube-system"}, &corev1.Namespace{})
}

// KubeadmDone is true once kubeadm has stored its configuration: from then on Cluster API calls the control plane
// initialized, and nodes may join.
func (c *Client) KubeadmDone(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err := c.Get(ctx, client.ObjectKey{Namespace: "kube-system", Name: "kubeadm-config"}, &corev1.ConfigMap{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
