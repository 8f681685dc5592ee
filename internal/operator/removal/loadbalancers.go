package removal

import (
	"context"
	"fmt"
	"slices"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/owned"
)

// LoadBalancers deletes the load balancers of the cluster's Services and says how many are left. The controller that makes them has
// to be gone.
func (r *Removal) LoadBalancers(ctx context.Context) (left int, err error) {
	all, err := r.cloud.LoadBalancer.List(ctx)
	if err != nil {
		return 0, fmt.Errorf("list load balancers: %w", err)
	}
	for i := range all {
		lb := &all[i]
		if !owned.ServiceLoadBalancer(lb, r.clusterID) {
			continue
		}
		left++
		if err := r.deleteLoadBalancer(ctx, lb); err != nil {
			return left, err
		}
	}
	if left > 0 {
		return left, nil
	}
	return r.publicIPs(ctx)
}

func (r *Removal) deleteLoadBalancer(ctx context.Context, lb *mgc.LoadBalancer) error {
	of, retain := owned.Service(lb), owned.KeepsPublicIP(lb)
	if lb.PublicIP != nil {
		ip := mkev1.CloudObject{Kind: mkev1.PublicIPObject, ID: lb.PublicIP.ID, Name: lb.PublicIP.IPAddress, Service: of}
		if retain {
			r.keep(ip)
		} else {
			r.remove(ip)
		}
	}
	known := r.remove(mkev1.CloudObject{Kind: mkev1.LoadBalancerObject, ID: lb.ID, Name: lb.Name, Service: of})
	if !known || lb.Status == mgc.LoadBalancerDeleting {
		return nil
	}
	// A conflict is a change that is under way, or another deletion.
	if err := r.cloud.LoadBalancer.Delete(ctx, lb.ID, !retain); err != nil && !mgc.IsNotFound(err) && !mgc.IsConflict(err) {
		return fmt.Errorf("delete a load balancer: %w", err)
	}
	return nil
}

// publicIPs deletes what load balancers should have taken with them.
func (r *Removal) publicIPs(ctx context.Context) (left int, err error) {
	removed := func(id string) bool {
		i := find(r.lists.Removed, id)
		return i >= 0 && r.lists.Removed[i].Kind == mkev1.PublicIPObject
	}
	if !slices.ContainsFunc(r.lists.Removed, func(o mkev1.CloudObject) bool { return o.Kind == mkev1.PublicIPObject }) {
		return 0, nil
	}
	all, err := r.cloud.Network.ListPublicIPs(ctx)
	if err != nil {
		return 0, fmt.Errorf("list public IPs: %w", err)
	}
	for _, ip := range all {
		if !removed(ip.ID) {
			continue
		}
		left++
		if err := r.cloud.Network.DeletePublicIP(ctx, ip.ID); err != nil && !mgc.IsNotFound(err) && !mgc.IsConflict(err) {
			return left, fmt.Errorf("delete a public IP: %w", err)
		}
	}
	return left, nil
}
