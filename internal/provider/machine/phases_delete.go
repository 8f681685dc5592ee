package machine

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/cluster-api/util/conditions"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
)

// delete removes the machine from the load balancer, then its VM, and the finalizer once the cloud shows no VM of it.
func (r *Reconciler) delete(ctx context.Context, s *scope) error {
	left, err := remaining(ctx, s)
	if err != nil {
		return err
	}
	if err := deleteTargets(ctx, s, left); err != nil {
		return err // also a conflict: another change of the load balancer is under way
	}
	if len(left) == 0 {
		removeFinalizer(s.mgk)
		return nil
	}
	s.waiting = true
	s.setCondition(infrav1.InstanceReadyCondition, metav1.ConditionFalse, "Deleting", "the VM is being deleted")
	for _, i := range left {
		if leaving(i) {
			continue
		}
		if err := s.cloud.Compute.DeleteInstance(ctx, i.ID); err != nil && !mgc.IsNotFound(err) && !mgc.IsConflict(err) {
			return err
		}
	}
	return nil
}

// remaining returns the VMs of this machine that the cloud still has: the recorded one and those with its label.
func remaining(ctx context.Context, s *scope) ([]mgc.Instance, error) {
	left, err := s.cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{Name: s.mgk.Name, Label: cloud.MachineLabel(s.mgk)})
	if err != nil {
		return nil, err
	}
	unseen := s.mgk.Status.InstanceID
	live := left[:0]
	for _, i := range left {
		if i.ID == unseen {
			unseen = ""
		}
		if i.State != mgc.InstanceDeleted {
			live = append(live, i)
		}
	}
	if unseen == "" {
		return live, nil
	}
	recorded, err := s.cloud.Compute.GetInstance(ctx, unseen)
	switch {
	case mgc.IsNotFound(err):
		return live, nil
	case err != nil:
		return nil, err
	case recorded.State != mgc.InstanceDeleted:
		live = append(live, *recorded)
	}
	return live, nil
}

// leaving is true for a VM whose deletion is under way.
func leaving(i mgc.Instance) bool {
	return i.State == mgc.InstanceDeleted || (strings.HasPrefix(i.Status, "deleting") && !strings.HasSuffix(i.Status, "error"))
}

// deleteTargets takes a control plane machine out of the load balancer before its VM goes, so that no connection is sent to it.
func deleteTargets(ctx context.Context, s *scope, instances []mgc.Instance) error {
	lbID := s.mgkCluster.Status.LoadBalancerID
	if !s.controlPlane() || lbID == "" || conditions.GetReason(s.mgk, infrav1.LoadBalancerTargetCondition) == "Removed" {
		return nil
	}
	lb, err := s.cloud.LoadBalancer.Get(ctx, lbID)
	if err != nil && !mgc.IsNotFound(err) {
		return err
	}
	if err == nil {
		for _, mine := range addresses(s.mgk, instances) {
			backend, target := findTarget(lb, mine)
			if target == nil {
				continue
			}
			if err := s.cloud.LoadBalancer.DeleteBackendTarget(ctx, lbID, backend.ID, target.ID); err != nil && !mgc.IsNotFound(err) {
				return err
			}
		}
	}
	s.setCondition(infrav1.LoadBalancerTargetCondition, metav1.ConditionFalse, "Removed", "the machine is no target of the API load balancer any more")
	return nil
}

// addresses returns by what a target may be recognised as this machine's: network interfaces, or the address of a VM that is gone.
func addresses(m *infrav1.MGKMachine, instances []mgc.Instance) []mgc.Target {
	var out []mgc.Target
	for _, i := range instances {
		if nic := i.PrimaryInterface(); nic != nil {
			out = append(out, mgc.Target{NICID: nic.ID})
		}
	}
	for _, a := range m.Status.Addresses {
		if a.Type == clusterv1.MachineInternalIP {
			out = append(out, mgc.Target{IPAddress: a.Address})
		}
	}
	return out
}
