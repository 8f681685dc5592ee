package platform

import (
	"context"
	"fmt"
	"time"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/progress"
)

// What the region's own objects in the platform's tenant are called, and the ports of the management cluster.
const (
	managementVM          = "mke-management"
	managementMachineType = "BV4-8-40"
	managementImage       = "cloud-mke-management-v1.34.2"
	regionLoadBalancer    = "mke-region"
	gatewayBackend        = "gateway"
	kubernetesBackend     = "kubernetes"
	gatewayNodePort       = 30443
	kubernetesPort        = 6443
)

// managementInfra makes, by name and therefore only once, what the management cluster runs on.
type managementInfra struct {
	cloud  *mgc.Client
	region string
}

// network returns the VPC and subnet of zone a in the platform's tenant.
func (m managementInfra) network(ctx context.Context) (vpcID string, subnet mgc.Subnet, err error) {
	vpcs, err := m.cloud.Network.ListVPCs(ctx)
	if err != nil {
		return "", subnet, err
	}
	for _, v := range vpcs {
		if !v.IsDefault {
			continue
		}
		subnets, err := m.cloud.Network.ListSubnets(ctx, v.ID)
		if err != nil {
			return "", subnet, err
		}
		if len(subnets) == 0 {
			return "", subnet, fmt.Errorf("the VPC %s has no subnet", v.Name)
		}
		return v.ID, subnets[0], nil
	}
	return "", subnet, fmt.Errorf("the platform's tenant has no default VPC")
}

// securityGroup lets the load balancer's traffic in.
func (m managementInfra) securityGroup(ctx context.Context) (string, error) {
	groups, err := m.cloud.Network.ListSecurityGroups(ctx)
	if err != nil {
		return "", err
	}
	var id string
	for _, g := range groups {
		if g.Name == managementVM {
			id = g.ID
		}
	}
	if id == "" {
		if id, err = m.cloud.Network.CreateSecurityGroup(ctx, mgc.SecurityGroupCreate{Name: managementVM, Description: "management cluster of the region"}); err != nil {
			return "", err
		}
	}
	return id, m.allow(ctx, id, gatewayNodePort, kubernetesPort)
}

func (m managementInfra) allow(ctx context.Context, group string, ports ...int) error {
	rules, err := m.cloud.Network.ListSecurityGroupRules(ctx, group)
	if err != nil {
		return err
	}
	have := map[int]bool{}
	for _, r := range rules {
		if r.Direction == "ingress" && r.Protocol == "tcp" {
			have[r.PortRangeMin] = true
		}
	}
	for _, port := range ports {
		if have[port] {
			continue
		}
		_, err := m.cloud.Network.CreateSecurityGroupRule(ctx, group, mgc.SecurityGroupRule{
			Direction: "ingress", EtherType: "IPv4", Protocol: "tcp", PortRangeMin: port, PortRangeMax: port, RemoteIPPrefix: "0.0.0.0/0",
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// loadBalancer fronts the region: 443 is the gateway, 6443 the management cluster's API.
func (m managementInfra) loadBalancer(ctx context.Context, vpcID string) (*mgc.LoadBalancer, error) {
	id, err := m.findLoadBalancer(ctx)
	if err != nil {
		return nil, err
	}
	if id == "" {
		if id, err = m.cloud.LoadBalancer.Create(ctx, regionLoadBalancerSpec(vpcID)); err != nil {
			return nil, err
		}
	}
	var lb *mgc.LoadBalancer
	err = poll(ctx, 100*time.Millisecond, time.Minute, func() (bool, error) {
		lb, err = m.cloud.LoadBalancer.Get(ctx, id)
		if err != nil {
			return false, err
		}
		if lb.Status == mgc.LoadBalancerFailed {
			return false, fmt.Errorf("the region's load balancer failed: %s", lb.ErrorDetails)
		}
		return lb.Status == mgc.LoadBalancerRunning && lb.PublicIP != nil && lb.PublicIP.IPAddress != "", nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the region's load balancer: %w", err)
	}
	return lb, nil
}

func (m managementInfra) findLoadBalancer(ctx context.Context) (string, error) {
	lbs, err := m.cloud.LoadBalancer.List(ctx)
	if err != nil {
		return "", err
	}
	for _, lb := range lbs {
		if lb.Name == regionLoadBalancer {
			return lb.ID, nil
		}
	}
	return "", nil
}

func regionLoadBalancerSpec(vpcID string) mgc.LoadBalancerCreate {
	spec := mgc.LoadBalancerCreate{
		Name:        regionLoadBalancer,
		Description: "public entrance of the region",
		Type:        "proxy",
		Visibility:  mgc.VisibilityExternal,
		VPCID:       vpcID,
	}
	for _, b := range []struct {
		name         string
		port, target int
	}{{gatewayBackend, 443, gatewayNodePort}, {kubernetesBackend, kubernetesPort, kubernetesPort}} {
		spec.Listeners = append(spec.Listeners, mgc.ListenerCreate{Name: b.name, BackendName: b.name, Protocol: "tcp", Port: b.port})
		spec.Backends = append(spec.Backends, mgc.BackendCreate{
			Name: b.name, BalanceAlgorithm: mgc.BalanceRoundRobin, TargetsType: mgc.TargetsInstance, Targets: []mgc.Target{},
		})
	}
	return spec
}

// instance makes the management VM and returns it once it runs.
func (m managementInfra) instance(ctx context.Context, ph *progress.Phase, subnet mgc.Subnet, vpcID, group, userData string) (*mgc.Instance, error) {
	id, err := m.findInstance(ctx)
	if err != nil {
		return nil, err
	}
	if id == "" {
		id, err = m.cloud.Compute.CreateInstance(ctx, mgc.InstanceCreate{
			Name:             managementVM,
			MachineType:      mgc.Ref{Name: managementMachineType},
			Image:            mgc.Ref{Name: managementImage},
			AvailabilityZone: m.region + "-" + subnet.Zone, // the network product calls zones by their letter only
			Network: mgc.InstanceCreateNetwork{
				VPC: &mgc.Ref{ID: vpcID},
				Interface: &mgc.InstanceCreateInterface{
					SecurityGroups: []mgc.Ref{{ID: group}},
					Subnets:        []mgc.Ref{{ID: subnet.ID}},
				},
				// Its connections leave from this address, so that API load balancers can let them in.
				AssociatePublicIP: true,
			},
			UserData: []byte(userData),
		})
		if err != nil {
			return nil, err
		}
	}
	var inst *mgc.Instance
	err = poll(ctx, 200*time.Millisecond, 3*time.Minute, func() (bool, error) {
		inst, err = m.cloud.Compute.GetInstance(ctx, id)
		if err != nil {
			return false, err
		}
		if inst.Error != nil || inst.State == mgc.InstanceError {
			return false, fmt.Errorf("the management VM failed: %s", instanceFault(inst))
		}
		ph.Detail("VM %s is %s", managementVM, inst.Status)
		nic := inst.PrimaryInterface()
		return inst.State == mgc.InstanceRunning && nic != nil && nic.AssociatedPublicIPv4 != "", nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for the management VM: %w", err)
	}
	return inst, nil
}

func (m managementInfra) findInstance(ctx context.Context) (string, error) {
	found, err := m.cloud.Compute.ListInstances(ctx, mgc.ListInstancesOptions{Name: managementVM})
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0].ID, nil
}

func instanceFault(i *mgc.Instance) string {
	if i.Error != nil {
		return i.Error.Message
	}
	return i.Status
}

// target puts the VM behind both listeners.
func (m managementInfra) target(ctx context.Context, lb *mgc.LoadBalancer, nicID string) error {
	ports := map[string]int{gatewayBackend: gatewayNodePort, kubernetesBackend: kubernetesPort}
	for _, b := range lb.Backends {
		want := mgc.Target{NICID: nicID, Port: ports[b.Name]}
		if hasTarget(b.Targets, want) {
			continue
		}
		if err := m.cloud.LoadBalancer.CreateBackendTargets(ctx, lb.ID, b.ID, mgc.TargetsInstance, []mgc.Target{want}); err != nil {
			return err
		}
	}
	return nil
}

func hasTarget(have []mgc.Target, want mgc.Target) bool {
	for _, t := range have {
		if t.NICID == want.NICID && t.Port == want.Port {
			return true
		}
	}
	return false
}
