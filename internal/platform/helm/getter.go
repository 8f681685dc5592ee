package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// getter gives Helm access to one cluster, with nothing cached on disk.
type getter struct {
	loader    clientcmd.ClientConfig
	config    *rest.Config
	discovery discovery.CachedDiscoveryInterface
}

// newGetter's requests are refused when ctx has ended. Helm is never told of that end itself: it would work on while another of
// its goroutines records the failure of the same release, a data race.
func newGetter(ctx context.Context, kubeconfig []byte) (*getter, error) {
	loader, err := clientcmd.NewClientConfigFromBytes(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the management cluster's kubeconfig: %w", err)
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the management cluster's kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 100, 200 // a whole platform is applied at once
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return until{ctx, next} })
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &getter{loader: loader, config: config, discovery: memory.NewMemCacheClient(client)}, nil
}

// until sends requests as long as its context lasts.
type until struct {
	ctx  context.Context
	next http.RoundTripper
}

func (u until) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := u.ctx.Err(); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	return u.next.RoundTrip(r)
}

func (g *getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery, nil
}

func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	return restmapper.NewDeferredDiscoveryRESTMapper(g.discovery), nil
}

func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig { return g.loader }

// transient tells whether an error may be gone a moment later without anybody doing anything.
func transient(err error) bool {
	var netErr net.Error
	if errors.As(err, &netErr) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || apierrors.IsConflict(err)
}
