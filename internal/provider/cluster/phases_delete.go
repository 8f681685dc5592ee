package cluster

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
)

// delete removes everything that carries the cluster's id, and the finalizer once a scan of the cloud finds nothing.
func (r *Reconciler) delete(ctx context.Context, s *scope) error {
	machines, err := r.machines(ctx, s)
	if err != nil {
		return err
	}
	if len(machines) > 0 { // the last one's end is an event
		s.setCondition(infrav1.LoadBalancerReadyCondition, metav1.ConditionFalse, "Deleting", fmt.Sprintf("waiting for %d machines to be deleted", len(machines)))
		return nil
	}
	left, err := sweep(ctx, s)
	if err != nil {
		return err
	}
	if left != "" {
		s.waiting = true
		s.setCondition(infrav1.LoadBalancerReadyCondition, metav1.ConditionFalse, "Deleting", "waiting for the cloud to delete "+left)
		return nil
	}
	controllerutil.RemoveFinalizer(s.cluster, infrav1.ClusterFinalizer)
	r.Clients.Forget(s.cluster)
	return nil
}

// sweep deletes all cloud objects that carry the cluster's id, and names a kind that still exists, "" if all are gone. What is used
// goes after its users; until then the cloud answers with a conflict.
func sweep(ctx context.Context, s *scope) (left string, err error) {
	type step struct {
		what string
		run  func(context.Context, *scope) (int, error)
	}
	for _, together := range [][]step{
		{{"instances", sweepInstances}, {"the load balancer", sweepLoadBalancers}, {"security groups", sweepSecurityGroups}},
		{{"network ports", countPorts}, {"public addresses", sweepPublicIPs}}, // these go with the first ones
	} {
		for _, st := range together {
			n, err := st.run(ctx, s)
			if err != nil {
				return st.what, err
			}
			if n > 0 && left == "" {
				left = st.what
			}
		}
		if left != "" {
			return left, nil
		}
	}
	return "", nil
}

func sweepInstances(ctx context.Context, s *scope) (int, error) {
	all, err := s.cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{Label: cloud.Mark(s.id())})
	if err != nil {
		return 0, err
	}
	for _, i := range all {
		if err := gone(s.cloud.Compute.DeleteInstance(ctx, i.ID)); err != nil {
			return len(all), err
		}
	}
	return len(all), nil
}

// sweepLoadBalancers deletes the API server's. Those of Services carry the cluster's id in their description only: what made them
// removes them, and knows which public IPs have to stay.
func sweepLoadBalancers(ctx context.Context, s *scope) (int, error) {
	all, err := s.cloud.LoadBalancer.List(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, lb := range all {
		if !cloud.Marked(s.id(), lb.Name) || lb.Status == mgc.LoadBalancerDeleted {
			continue
		}
		n++
		if lb.Status == mgc.LoadBalancerDeleting {
			continue
		}
		if err := gone(s.cloud.LoadBalancer.Delete(ctx, lb.ID, true)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// sweepSecurityGroups counts only what it could not delete: this product answers when the work is done.
func sweepSecurityGroups(ctx context.Context, s *scope) (int, error) {
	all, err := s.cloud.Network.ListSecurityGroups(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, g := range all {
		if !cloud.Marked(s.id(), g.Name, g.Description) {
			continue
		}
		err := s.cloud.Network.DeleteSecurityGroup(ctx, g.ID)
		if mgc.IsConflict(err) {
			n++
		} else if gone(err) != nil {
			return n, err
		}
	}
	return n, nil
}

// countPorts counts ports that use the cluster's security groups or carry its id; they go with their instances.
func countPorts(ctx context.Context, s *scope) (int, error) {
	all, err := s.cloud.Network.ListPorts(ctx, s.cluster.Spec.VPCID)
	if mgc.IsNotFound(err) {
		return 0, nil // no VPC, no ports
	}
	n := 0
	for _, p := range all {
		if cloud.Marked(s.id(), p.Name, p.Description) ||
			slices.Contains(p.SecurityGroups, s.cluster.Status.ControlPlaneSecurityGroupID) ||
			slices.Contains(p.SecurityGroups, s.cluster.Status.NodeSecurityGroupID) {
			n++
		}
	}
	return n, err
}

func sweepPublicIPs(ctx context.Context, s *scope) (int, error) {
	all, err := s.cloud.Network.ListPublicIPs(ctx)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, ip := range all {
		if !cloud.Marked(s.id(), ip.Description) {
			continue
		}
		err := s.cloud.Network.DeletePublicIP(ctx, ip.ID)
		if mgc.IsConflict(err) {
			n++
		} else if gone(err) != nil {
			return n, err
		}
	}
	return n, nil
}

// gone makes success of "does not exist" and of "is being deleted".
func gone(err error) error {
	if mgc.IsNotFound(err) || mgc.IsConflict(err) {
		return nil
	}
	return err
}
