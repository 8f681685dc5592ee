package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/cloud-provider/api"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/mgc"
)

// After a failure a Service is tried again after retryFirst, then twice as late each time, at most after retryMost.
const retryFirst, retryMost = time.Second, time.Minute

// Provider shows a Manager to the service controller of k8s.io/cloud-provider: its errors become events for the Service's owner.
type Provider struct {
	manager *Manager
	backoff workqueue.TypedRateLimiter[types.UID]
}

var _ cloudprovider.LoadBalancer = (*Provider)(nil)

// NewProvider returns a provider on a manager.
func NewProvider(m *Manager) *Provider {
	return &Provider{m, workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](retryFirst, retryMost)}
}

// GetLoadBalancer tells whether the cloud has a load balancer of the Service.
func (p *Provider) GetLoadBalancer(ctx context.Context, _ string, svc *corev1.Service) (*corev1.LoadBalancerStatus, bool, error) {
	lb, err := p.manager.Exists(ctx, svc)
	if err != nil || lb == nil {
		return nil, false, p.explain(svc, "look for", err)
	}
	return status(lb), true, nil
}

// GetLoadBalancerName returns its name in the cloud.
func (p *Provider) GetLoadBalancerName(_ context.Context, _ string, svc *corev1.Service) string {
	return nameOf(p.manager.clusterID, svc)
}

// EnsureLoadBalancer makes or changes it.
func (p *Provider) EnsureLoadBalancer(ctx context.Context, _ string, svc *corev1.Service, nodes []*corev1.Node) (*corev1.LoadBalancerStatus, error) {
	begun := time.Now()
	lb, err := p.manager.Ensure(ctx, svc, nodes)
	observe("ensure", begun, err)
	if err != nil {
		return nil, p.explain(svc, "ensure", err)
	}
	p.backoff.Forget(svc.UID)
	return status(lb), nil
}

// UpdateLoadBalancer gives it other nodes.
func (p *Provider) UpdateLoadBalancer(ctx context.Context, _ string, svc *corev1.Service, nodes []*corev1.Node) error {
	begun := time.Now()
	err := p.manager.UpdateTargets(ctx, svc, nodes)
	observe("update", begun, err)
	return p.explain(svc, "update", err)
}

// EnsureLoadBalancerDeleted returns nil once it is gone.
func (p *Provider) EnsureLoadBalancerDeleted(ctx context.Context, _ string, svc *corev1.Service) error {
	begun := time.Now()
	err := p.manager.Delete(ctx, svc)
	observe("delete", begun, err)
	if err == nil {
		p.backoff.Forget(svc.UID)
	}
	return p.explain(svc, "delete", err)
}

// status has the mode Proxy: the load balancer ends connections itself and has its own ACLs and health checks. With the mode VIP kube-proxy
// would answer in its place inside the cluster, past all of them.
func status(lb *mgc.LoadBalancer) *corev1.LoadBalancerStatus {
	mode := corev1.LoadBalancerIPModeProxy
	return &corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: address(lb), IPMode: &mode}}}
}

// explain turns an error into one whose text is fit for an event and that says when to try again.
func (p *Provider) explain(svc *corev1.Service, verb string, err error) error {
	var no *refusal
	var wait *waiting
	switch {
	case err == nil:
		return nil
	case errors.As(err, &no):
		return err // until the Service is changed; the controller tries less and less often
	case errors.As(err, &wait):
		return api.NewRetryError(wait.text, again)
	}
	text, after := p.plain(svc, err)
	klog.ErrorS(err, "cannot "+verb+" a load balancer", "service", klog.KObj(svc), "retryAfter", after)
	return api.NewRetryError(text, after)
}

// plain tells people what the cloud's answer means.
func (p *Provider) plain(svc *corev1.Service, err error) (text string, after time.Duration) {
	var paused *pausedError
	if errors.As(err, &paused) {
		return tooMany, paused.left
	}
	after = p.backoff.When(svc.UID)
	var answer *mgc.Error
	switch {
	case mgc.IsRateLimited(err):
		return tooMany, max(after, mgc.RetryAfter(err))
	case mgc.IsUnauthorized(err):
		return "the cloud refuses the cluster's credentials; nothing is changed until they work again", after
	case mgc.IsTransient(err):
		return "the cloud does not answer at the moment; trying again", after
	case errors.As(err, &answer):
		return fmt.Sprintf("the cloud refused the request: %s", answer.Message), after
	}
	return "the cloud cannot be reached at the moment; trying again", after
}

const tooMany = "the cloud gets too many requests and asked to wait; trying again"
