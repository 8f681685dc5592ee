package loadbalancer

import (
	"context"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

var uuidPattern = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func isUUID(text string) bool { return uuidPattern.MatchString(text) }

// adopt puts the Service's name on the load balancer that the annotation names, and returns its id.
func (m *Manager) adopt(ctx context.Context, svc *corev1.Service, s settings, w *want) (string, error) {
	all, err := m.balancers.since(ctx, time.Now())
	if err != nil {
		return "", err
	}
	var found *mgc.LoadBalancer
	for n := range all {
		lb := &all[n]
		if (!strings.EqualFold(lb.ID, s.adopt) && lb.Name != s.adopt) || lb.Status == mgc.LoadBalancerDeleting || lb.Status == mgc.LoadBalancerDeleted {
			continue
		}
		if found != nil {
			return "", refuse("annotation %s: two load balancers are named %q; give the id of one", AnnotationAdopt, s.adopt)
		}
		found = lb
	}
	if found == nil {
		return "", refuse("annotation %s: there is no load balancer %q", AnnotationAdopt, s.adopt)
	}
	vpcID, err := m.vpc(ctx)
	if err != nil {
		return "", err
	}
	if err := adoptable(found, svc, s, vpcID); err != nil {
		return "", err
	}
	err = m.write(ctx, svc, "adopt", func(ctx context.Context, c *mgc.LoadBalancerClient) error {
		return c.Update(ctx, found.ID, w.name, w.description)
	})
	return found.ID, err
}

func adoptable(lb *mgc.LoadBalancer, svc *corev1.Service, s settings, vpcID string) error {
	no := func(format string, args ...any) error {
		return refuse("annotation "+AnnotationAdopt+": load balancer "+lb.ID+" "+format, args...)
	}
	switch {
	case markOf(lb) != "" || strings.HasPrefix(lb.Name, "mke-"):
		return no("belongs to a cluster or to another Service")
	case lb.VPCID != vpcID:
		return no("is in another VPC than the cluster")
	case lb.Visibility != s.visibility:
		return no("is %s; set the annotation %s accordingly", lb.Visibility, AnnotationVisibility)
	case lb.Status == mgc.LoadBalancerFailed:
		return no("has failed")
	}
	return changeable(lb, svc, s)
}

// markOf returns the id of the cluster that the description names, "" for none.
func markOf(lb *mgc.LoadBalancer) string {
	for _, word := range strings.Fields(lb.Description) {
		if id, ok := strings.CutPrefix(word, markKey); ok {
			return id
		}
	}
	return ""
}
