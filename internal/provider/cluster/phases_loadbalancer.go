package cluster

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
)

const (
	apiPort = 6443
	// apiName is the name of the listener, the backend and the health check.
	apiName = "api"
)

// reconcileLoadBalancer makes the API load balancer, waits for it, and keeps its ACLs.
func (r *Reconciler) reconcileLoadBalancer(ctx context.Context, s *scope) error {
	lb, err := findLoadBalancer(ctx, s)
	if err != nil {
		return s.loadBalancerFailed(err)
	}
	if lb == nil {
		return r.createLoadBalancer(ctx, s)
	}
	s.cluster.Status.LoadBalancerID = lb.ID
	switch lb.Status {
	case mgc.LoadBalancerRunning:
	case mgc.LoadBalancerFailed:
		return replaceFailedLoadBalancer(ctx, s, lb)
	default:
		s.waiting = true
		if !provisioned(s.cluster) {
			s.setCondition(infrav1.LoadBalancerReadyCondition, metav1.ConditionFalse, "Provisioning", "the API load balancer is being made")
		}
		return nil
	}
	if err := r.reconcileACLs(ctx, s, lb); err != nil {
		return s.loadBalancerFailed(err)
	}
	if !setEndpoint(s.cluster, lb) {
		s.setCondition(infrav1.LoadBalancerReadyCondition, metav1.ConditionFalse, "AddressChanged",
			fmt.Sprintf("the API load balancer's address is not %s any more", s.cluster.Spec.ControlPlaneEndpoint.Host))
		return nil
	}
	s.setCondition(infrav1.LoadBalancerReadyCondition, metav1.ConditionTrue, "Running", "")
	return nil
}

// findLoadBalancer returns the cluster's load balancer, nil if the cloud says that there is none. Duplicates go.
func findLoadBalancer(ctx context.Context, s *scope) (*mgc.LoadBalancer, error) {
	if id := s.cluster.Status.LoadBalancerID; id != "" {
		lb, err := s.cloud.LoadBalancer.Get(ctx, id)
		if err == nil && lb.Status != mgc.LoadBalancerDeleted && lb.Status != mgc.LoadBalancerDeleting {
			return lb, nil
		}
		if err != nil && !mgc.IsNotFound(err) {
			return nil, err
		}
	}
	named, err := loadBalancers(ctx, s, func(lb mgc.LoadBalancer) bool { return lb.Name == cloud.LoadBalancerName(s.id()) })
	if err != nil {
		return nil, err
	}
	keep, duplicates := cloud.Adopt(named, func(lb mgc.LoadBalancer) string { return lb.ID }, s.cluster.Status.LoadBalancerID)
	for _, d := range duplicates {
		if err := s.cloud.LoadBalancer.Delete(ctx, d.ID, true); err != nil && !mgc.IsNotFound(err) {
			return nil, err
		}
	}
	return keep, nil
}

// loadBalancers lists those that match and are not on their way out.
func loadBalancers(ctx context.Context, s *scope, match func(mgc.LoadBalancer) bool) ([]mgc.LoadBalancer, error) {
	all, err := s.cloud.LoadBalancer.List(ctx)
	return slices.DeleteFunc(all, func(lb mgc.LoadBalancer) bool {
		return !match(lb) || lb.Status == mgc.LoadBalancerDeleting || lb.Status == mgc.LoadBalancerDeleted
	}), err
}

func (r *Reconciler) createLoadBalancer(ctx context.Context, s *scope) error {
	publicIP, err := keptPublicIP(ctx, s)
	if err != nil {
		return s.loadBalancerFailed(err)
	}
	id, err := s.cloud.LoadBalancer.Create(ctx, mgc.LoadBalancerCreate{
		Name:         cloud.LoadBalancerName(s.id()),
		Description:  cloud.Mark(s.id()),
		Type:         "proxy",
		Visibility:   mgc.VisibilityExternal,
		VPCID:        s.cluster.Spec.VPCID,
		PublicIPID:   publicIP,
		Listeners:    []mgc.ListenerCreate{{Name: apiName, BackendName: apiName, Protocol: "tcp", Port: apiPort}},
		Backends:     []mgc.BackendCreate{{Name: apiName, HealthCheckName: apiName, BalanceAlgorithm: mgc.BalanceRoundRobin, TargetsType: mgc.TargetsInstance, Targets: []mgc.Target{}}},
		HealthChecks: []mgc.HealthCheck{{Name: apiName, Protocol: "tcp", Port: apiPort, IntervalSeconds: 1, TimeoutSeconds: 1, InitialDelaySeconds: 1, HealthyThresholdCount: 1, UnhealthyThresholdCount: 2}},
		ACLs:         r.wantedACLs(s.cluster),
	})
	if err != nil {
		return s.loadBalancerFailed(err)
	}
	s.cluster.Status.LoadBalancerID = id
	s.waiting = true
	s.setCondition(infrav1.LoadBalancerReadyCondition, metav1.ConditionFalse, "Provisioning", "the API load balancer is being made")
	return nil
}

// keptPublicIP returns the id of the public address that the cluster had before its load balancer vanished, "" for a new one: the
// cluster's certificates and kubeconfigs name that address.
func keptPublicIP(ctx context.Context, s *scope) (string, error) {
	host := s.cluster.Spec.ControlPlaneEndpoint.Host
	if host == "" {
		return "", nil
	}
	all, err := s.cloud.Network.ListPublicIPs(ctx)
	for _, ip := range all {
		if ip.PublicIP == host {
			return ip.ID, nil
		}
	}
	return "", err
}

// replaceFailedLoadBalancer starts again if nothing depends on the load balancer yet; else a person has to decide.
func replaceFailedLoadBalancer(ctx context.Context, s *scope, lb *mgc.LoadBalancer) error {
	s.setCondition(infrav1.LoadBalancerReadyCondition, metav1.ConditionFalse, "Failed", "the API load balancer failed: "+lb.ErrorDetails)
	s.waiting = true
	if provisioned(s.cluster) {
		return nil
	}
	if err := s.cloud.LoadBalancer.Delete(ctx, lb.ID, true); err != nil && !mgc.IsNotFound(err) {
		return s.loadBalancerFailed(err)
	}
	return nil
}

// setEndpoint records the public address once; it returns false if the load balancer now has another one.
func setEndpoint(c *infrav1.MGKCluster, lb *mgc.LoadBalancer) bool {
	if lb.PublicIP == nil {
		return false
	}
	if c.Spec.ControlPlaneEndpoint.Host == "" {
		c.Spec.ControlPlaneEndpoint = clusterv1.APIEndpoint{Host: lb.PublicIP.IPAddress, Port: apiPort}
	}
	return c.Spec.ControlPlaneEndpoint.Host == lb.PublicIP.IPAddress
}

// reconcileACLs replaces the ACLs if they differ.
func (r *Reconciler) reconcileACLs(ctx context.Context, s *scope, lb *mgc.LoadBalancer) error {
	wanted := r.wantedACLs(s.cluster)
	if slices.Equal(aclKeys(wanted), aclKeys(lb.ACLs)) {
		return nil
	}
	s.waiting = true
	return s.cloud.LoadBalancer.ReplaceACLs(ctx, lb.ID, wanted)
}

// wantedACLs is empty, which lets everyone in, unless the cluster has allowed CIDRs. Nodes and the management cluster must always
// get through.
func (r *Reconciler) wantedACLs(c *infrav1.MGKCluster) []mgc.ACL {
	if len(c.Spec.AllowedCIDRs) == 0 {
		return nil
	}
	cidrs := slices.Concat(c.Spec.AllowedCIDRs, r.ManagementCIDRs)
	for _, sn := range c.Spec.Subnets {
		cidrs = append(cidrs, sn.CIDR)
	}
	var acls []mgc.ACL
	for _, cidr := range cidrs {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			continue // the product API has validated what people wrote
		}
		etherType := "IPv4"
		if prefix.Addr().Is6() {
			etherType = "IPv6"
		}
		acls = append(acls, mgc.ACL{EtherType: etherType, Protocol: "tcp", RemoteIPPrefix: prefix.Masked().String(), Action: mgc.ACLAllow})
	}
	slices.SortFunc(acls, func(a, b mgc.ACL) int { return strings.Compare(a.RemoteIPPrefix, b.RemoteIPPrefix) })
	return slices.CompactFunc(acls, func(a, b mgc.ACL) bool { return a.RemoteIPPrefix == b.RemoteIPPrefix })
}

func aclKeys(acls []mgc.ACL) []string {
	var keys []string
	for _, a := range acls {
		keys = append(keys, a.Action+" "+a.RemoteIPPrefix)
	}
	slices.Sort(keys)
	return keys
}
