package machine

import (
	"context"
	"fmt"
	"slices"
	"strings"

	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
)

// chooseSubnet returns the subnet in the Machine's failure domain, else one in the zone with the fewest machines of the same pool.
func (r *Reconciler) chooseSubnet(ctx context.Context, s *scope) (infrav1.Subnet, error) {
	subnets := s.mgk.Spec.Subnets
	if len(subnets) == 0 {
		subnets = s.mgkCluster.Spec.Subnets
	}
	if zone := s.machine.Spec.FailureDomain; zone != "" {
		for _, sn := range subnets {
			if sn.Zone == zone {
				return sn, nil
			}
		}
		return infrav1.Subnet{}, fmt.Errorf("no subnet in availability zone %s", zone)
	}
	if len(subnets) == 1 {
		return subnets[0], nil
	}
	// They are only read, and there may be thousands.
	var list infrav1.MGKMachineList
	err := r.Client.List(ctx, &list, client.InNamespace(s.mgk.Namespace), client.MatchingLabels(poolLabels(s.mgk)), client.UnsafeDisableDeepCopy)
	if err != nil {
		return infrav1.Subnet{}, err
	}
	return leastUsed(subnets, list.Items, s.mgk), nil
}

// poolLabels select the machines of the same pool.
func poolLabels(m *infrav1.MGKMachine) map[string]string {
	labels := map[string]string{clusterv1.ClusterNameLabel: m.Labels[clusterv1.ClusterNameLabel]}
	for _, key := range []string{clusterv1.MachineDeploymentNameLabel, clusterv1.MachineControlPlaneNameLabel} {
		if value, ok := m.Labels[key]; ok {
			labels[key] = value
		}
	}
	return labels
}

// leastUsed deals the machines without a zone onto the subnets, oldest first, on top of those that have one, and returns what me
// gets. All machines that start at once come to the same plan without talking to each other.
func leastUsed(subnets []infrav1.Subnet, siblings []infrav1.MGKMachine, me *infrav1.MGKMachine) infrav1.Subnet {
	count := map[string]int{}
	var waiting []infrav1.MGKMachine
	for _, m := range siblings {
		switch {
		case m.Name == me.Name: // added below, also if the cache does not have it yet
		case m.Status.FailureDomain != "":
			count[m.Status.FailureDomain]++
		case m.DeletionTimestamp.IsZero():
			waiting = append(waiting, m)
		}
	}
	waiting = append(waiting, *me)
	slices.SortFunc(waiting, func(a, b infrav1.MGKMachine) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, m := range waiting {
		best := subnets[0]
		for _, sn := range subnets[1:] {
			if count[sn.Zone] < count[best.Zone] {
				best = sn
			}
		}
		if m.Name == me.Name {
			return best
		}
		count[best.Zone]++
	}
	return subnets[0]
}
