package machine

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/cluster-api/util/conditions"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
)

const apiPort = 6443

// reconcileTarget makes a control plane machine a target of the API load balancer as soon as its network interface exists, because
// kubeadm in the VM soon talks through it.
func (r *Reconciler) reconcileTarget(ctx context.Context, s *scope) error {
	id := s.mgkCluster.Status.LoadBalancerID
	if !s.controlPlane() || s.instance == nil || id == "" || failed(s.instance) || s.isTargetOf(id) {
		return nil
	}
	nic := s.instance.PrimaryInterface()
	if nic == nil {
		s.waiting = true
		return nil
	}
	lb, err := s.cloud.LoadBalancer.Get(ctx, id)
	if err != nil {
		return s.targetMissing(err)
	}
	backend, target := findTarget(lb, mgc.Target{NICID: nic.ID})
	switch {
	case target != nil:
		s.setCondition(infrav1.LoadBalancerTargetCondition, metav1.ConditionTrue, "Added", targetMessage(id))
		return nil
	case backend == nil:
		return s.targetMissing(&mgc.Error{StatusCode: 404, Message: "the API load balancer has no backend"})
	}
	err = s.cloud.LoadBalancer.CreateBackendTargets(ctx, id, backend.ID, mgc.TargetsInstance, []mgc.Target{{NICID: nic.ID, Port: apiPort}})
	if mgc.IsConflict(err) {
		s.waiting = true // another change is under way
		return s.targetMissing(nil)
	}
	if err != nil {
		return s.targetMissing(err)
	}
	s.setCondition(infrav1.LoadBalancerTargetCondition, metav1.ConditionTrue, "Added", targetMessage(id))
	return nil
}

// targetMissing records that the machine is not a target yet; err passes through.
func (s *scope) targetMissing(err error) error {
	s.setCondition(infrav1.LoadBalancerTargetCondition, metav1.ConditionFalse, "Pending", "waiting to become a target of the API load balancer")
	return err
}

// isTargetOf remembers in the condition of which load balancer the machine is a target, so that settled machines cost no calls, and a
// load balancer made anew gets its targets.
func (s *scope) isTargetOf(loadBalancerID string) bool {
	c := conditions.Get(s.mgk, infrav1.LoadBalancerTargetCondition)
	return c != nil && c.Status == metav1.ConditionTrue && c.Message == targetMessage(loadBalancerID)
}

func targetMessage(loadBalancerID string) string { return "target of load balancer " + loadBalancerID }

// findTarget returns the API backend and in it the target with this network interface or address, nil where there is none.
func findTarget(lb *mgc.LoadBalancer, mine mgc.Target) (*mgc.Backend, *mgc.Target) {
	for b := range lb.Backends {
		backend := &lb.Backends[b]
		if backend.Name != "api" {
			continue
		}
		for t := range backend.Targets {
			target := &backend.Targets[t]
			if (mine.NICID != "" && target.NICID == mine.NICID) || (mine.IPAddress != "" && target.IPAddress == mine.IPAddress) {
				return backend, target
			}
		}
		return backend, nil
	}
	return nil, nil
}
