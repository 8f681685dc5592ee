package cluster

import (
	"context"
	"strings"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/provider/cloud"
)

const (
	anywhere = "0.0.0.0/0"
	// ruleOwner begins the description of our rules; others are left alone.
	ruleOwner = "mke: "
	// parallelCalls limits how many rules are made at once.
	parallelCalls = 4
)

// reconcileSecurityGroups makes both security groups and their rules.
func (r *Reconciler) reconcileSecurityGroups(ctx context.Context, s *scope) error {
	existing, err := s.cloud.Network.ListSecurityGroups(ctx)
	if err != nil {
		return s.securityGroupsFailed(err)
	}
	vpcSubnets, err := s.cloud.Network.ListSubnets(ctx, s.cluster.Spec.VPCID)
	if err != nil {
		return s.securityGroupsFailed(err)
	}
	status := &s.cluster.Status
	for role, id := range map[string]*string{cloud.ControlPlane: &status.ControlPlaneSecurityGroupID, cloud.Node: &status.NodeSecurityGroupID} {
		if *id, err = ensureSecurityGroup(ctx, s, existing, role, *id); err != nil {
			return s.securityGroupsFailed(err)
		}
		if err := ensureRules(ctx, s, *id, wantedRules(s.cluster, vpcSubnets, role)); err != nil {
			return s.securityGroupsFailed(err)
		}
	}
	s.setCondition(infrav1.SecurityGroupsReadyCondition, metav1.ConditionTrue, "Created", "")
	return nil
}

func ensureSecurityGroup(ctx context.Context, s *scope, existing []mgc.SecurityGroup, role, recorded string) (string, error) {
	name := cloud.SecurityGroupName(s.id(), role)
	var named []mgc.SecurityGroup
	for _, g := range existing {
		if g.Name == name {
			named = append(named, g)
		}
	}
	keep, duplicates := cloud.Adopt(named, func(g mgc.SecurityGroup) string { return g.ID }, recorded)
	for _, d := range duplicates {
		if err := s.cloud.Network.DeleteSecurityGroup(ctx, d.ID); err != nil && !mgc.IsNotFound(err) {
			return recorded, err
		}
	}
	if keep != nil {
		return keep.ID, nil
	}
	return s.cloud.Network.CreateSecurityGroup(ctx, mgc.SecurityGroupCreate{Name: name, Description: cloud.Mark(s.id())})
}

// ensureRules adds missing rules and removes those of ours that are not wanted any more.
func ensureRules(ctx context.Context, s *scope, groupID string, wanted []mgc.SecurityGroupRule) error {
	existing, err := s.cloud.Network.ListSecurityGroupRules(ctx, groupID)
	if err != nil {
		return err
	}
	have := map[mgc.SecurityGroupRule]bool{}
	for _, rule := range existing {
		have[ruleKey(rule)] = true
	}
	want := map[mgc.SecurityGroupRule]bool{}
	calls, ctx := errgroup.WithContext(ctx)
	calls.SetLimit(parallelCalls)
	for _, rule := range wanted {
		want[ruleKey(rule)] = true
		if have[ruleKey(rule)] {
			continue
		}
		calls.Go(func() error {
			_, err := s.cloud.Network.CreateSecurityGroupRule(ctx, groupID, rule)
			if mgc.IsConflict(err) {
				return nil // made by a call whose answer was lost
			}
			return err
		})
	}
	for _, rule := range existing {
		if want[ruleKey(rule)] || !strings.HasPrefix(rule.Description, ruleOwner) {
			continue
		}
		calls.Go(func() error {
			err := s.cloud.Network.DeleteSecurityGroupRule(ctx, rule.ID)
			if mgc.IsNotFound(err) {
				return nil
			}
			return err
		})
	}
	return calls.Wait()
}

// ruleKey is what makes two rules the same to the cloud.
func ruleKey(r mgc.SecurityGroupRule) mgc.SecurityGroupRule {
	r.ID, r.Status, r.Description = "", "", ""
	r.Protocol = strings.ToLower(r.Protocol)
	return r
}

// wantedRules of a role. The contract has no rules by group, so the cluster's own subnets stand for its machines. Pod traffic
// between nodes is VXLAN between their addresses. Node ports are open to the whole VPC, because the cloud may put a load balancer into any
// of its subnets, and to nobody else.
func wantedRules(c *infrav1.MGKCluster, vpcSubnets []mgc.Subnet, role string) []mgc.SecurityGroupRule {
	rules := []mgc.SecurityGroupRule{rule("icmp", 0, 0, anywhere, "icmp")}
	for _, sn := range vpcSubnets {
		rules = append(rules,
			rule("tcp", 30000, 32767, sn.CIDRBlock, "node ports"),
			rule("udp", 30000, 32767, sn.CIDRBlock, "node ports"))
	}
	if role == cloud.ControlPlane {
		// From anywhere: which address the load balancer comes from is the cloud's affair, its ACLs say who may, and the machines
		// have no public address.
		rules = append(rules, rule("tcp", apiPort, apiPort, anywhere, "API server"))
	}
	for _, sn := range c.Spec.Subnets {
		rules = append(rules,
			rule("tcp", 10250, 10250, sn.CIDR, "kubelet"),
			rule("udp", 4789, 4789, sn.CIDR, "VXLAN"))
		if role == cloud.ControlPlane {
			rules = append(rules,
				rule("tcp", 2379, 2381, sn.CIDR, "etcd and its metrics"),
				rule("tcp", 10257, 10259, sn.CIDR, "metrics of the controller manager and the scheduler"))
		}
	}
	return rules
}

func rule(protocol string, from, to int, remote, what string) mgc.SecurityGroupRule {
	return mgc.SecurityGroupRule{Direction: "ingress", EtherType: "IPv4", Protocol: protocol, PortRangeMin: from, PortRangeMax: to,
		RemoteIPPrefix: remote, Description: ruleOwner + what}
}
