package cloud

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
)

// Keys of the credentials Secret; endpoint is optional.
const (
	secretAPIKey   = "api-key"
	secretEndpoint = "endpoint"
)

// Clients makes and keeps one cloud client per credentials Secret, until the Secret changes.
type Clients struct {
	// Cached reads the Secrets' metadata.
	Cached client.Reader
	// Live reads Secrets themselves; they are not cached, there are too many of them in a management cluster.
	Live client.Reader
	// Endpoint is used where the Secret has none.
	Endpoint string
	// HTTP is shared by all clients.
	HTTP *http.Client

	mu      sync.Mutex
	entries map[client.ObjectKey]*entry
}

type entry struct {
	version   string
	client    *mgc.Client
	instances *Instances
}

// For returns the cloud of a cluster, or a CredentialsError.
func (c *Clients) For(ctx context.Context, cluster *infrav1.MGKCluster) (*mgc.Client, *Instances, error) {
	key := client.ObjectKey{Namespace: cluster.Namespace, Name: cluster.Spec.CredentialsSecretName}
	meta := &metav1.PartialObjectMetadata{}
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	if err := c.Cached.Get(ctx, key, meta); err != nil {
		return nil, nil, missing(err)
	}
	c.mu.Lock()
	found := c.entries[key]
	c.mu.Unlock()
	if found != nil && found.version == meta.ResourceVersion {
		return found.client, found.instances, nil
	}
	var secret corev1.Secret
	if err := c.Live.Get(ctx, key, &secret); err != nil {
		return nil, nil, missing(err)
	}
	fresh, err := c.build(&secret)
	if err != nil {
		return nil, nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries == nil {
		c.entries = map[client.ObjectKey]*entry{}
	}
	c.entries[key] = fresh
	return fresh.client, fresh.instances, nil
}

// Forget drops the client of a cluster that is gone.
func (c *Clients) Forget(cluster *infrav1.MGKCluster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, client.ObjectKey{Namespace: cluster.Namespace, Name: cluster.Spec.CredentialsSecretName})
}

func (c *Clients) build(secret *corev1.Secret) (*entry, error) {
	apiKey := string(secret.Data[secretAPIKey])
	if apiKey == "" {
		return nil, &CredentialsError{"the cluster's cloud credentials have no API key"}
	}
	endpoint := string(secret.Data[secretEndpoint])
	if endpoint == "" {
		endpoint = c.Endpoint
	}
	cl, err := mgc.New(mgc.Config{Endpoint: endpoint, APIKey: apiKey, UserAgent: "mke-provider", HTTPClient: c.HTTP})
	if err != nil {
		return nil, &CredentialsError{fmt.Sprintf("the cluster's cloud credentials cannot be used: %v", err)}
	}
	return &entry{version: secret.ResourceVersion, client: cl, instances: &Instances{compute: cl.Compute}}, nil
}

func missing(err error) error {
	if apierrors.IsNotFound(err) {
		return &CredentialsError{"the cluster's cloud credentials are missing"}
	}
	return fmt.Errorf("read the cloud credentials: %w", err)
}
