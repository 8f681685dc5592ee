package loadbalancer

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	servicehelpers "k8s.io/cloud-provider/service/helpers"

	"magalu.cloud/mke/internal/mgc"
)

// maxDescription is the contract's limit.
const maxDescription = 128

// part is one port of the Service: a listener, a backend and a health check of the same name.
type part struct {
	name     string
	port     int
	nodePort int
	check    mgc.HealthCheck
}

// want is the load balancer that a Service asks for.
type want struct {
	name, description, visibility string
	parts                         []part
	nics                          []string
	acls                          []mgc.ACL
}

// parts checks the Service and returns its ports. Everything that cannot be done is refused here, before anything changes.
func parts(svc *corev1.Service, s settings) ([]part, error) {
	if s.visibility == mgc.VisibilityInternal && svc.Spec.LoadBalancerIP != "" {
		return nil, refuse("spec.loadBalancerIP is for public IPs; the address of an internal load balancer cannot be chosen")
	}
	var out []part
	for _, p := range svc.Spec.Ports {
		if p.Protocol != corev1.ProtocolTCP && p.Protocol != "" {
			return nil, refuse("port %d/%s: Magalu Cloud's load balancers carry TCP only; use a Service of type NodePort for this port", p.Port, p.Protocol)
		}
		if p.NodePort == 0 {
			return nil, refuse("port %d has no node port, by which the load balancer reaches the nodes: spec.allocateLoadBalancerNodePorts must be true", p.Port)
		}
		name := partName(p)
		out = append(out, part{name: name, port: int(p.Port), nodePort: int(p.NodePort), check: check(svc, s, name, int(p.NodePort))})
	}
	return out, nil
}

func partName(p corev1.ServicePort) string { return fmt.Sprintf("tcp-%d", p.Port) }

// check asks kube-proxy whether the node has pods of the Service where only such nodes may be used; else it knocks on the node port.
func check(svc *corev1.Service, s settings, name string, nodePort int) mgc.HealthCheck {
	c := mgc.HealthCheck{Name: name, Protocol: "tcp", Port: nodePort, IntervalSeconds: s.interval, TimeoutSeconds: s.timeout,
		InitialDelaySeconds: 1, HealthyThresholdCount: s.healthy, UnhealthyThresholdCount: s.unhealthy}
	if path, port := servicehelpers.GetServiceHealthCheckPathPort(svc); path != "" {
		c.Protocol, c.Path, c.Port = "http", path, int(port)
	}
	return c
}

// sourceRanges returns nil if everyone may connect.
func sourceRanges(svc *corev1.Service) ([]string, error) {
	ranges, err := servicehelpers.GetLoadBalancerSourceRanges(svc)
	if err != nil {
		return nil, refuse("spec.loadBalancerSourceRanges: %v", err)
	}
	if servicehelpers.IsAllowAll(ranges) {
		return nil, nil
	}
	return ranges.StringSlice(), nil
}

func acls(cidrs []string) []mgc.ACL {
	var out []mgc.ACL
	for _, cidr := range cidrs {
		etherType := "IPv4"
		if strings.Contains(cidr, ":") {
			etherType = "IPv6"
		}
		out = append(out, mgc.ACL{EtherType: etherType, Protocol: "tcp", RemoteIPPrefix: cidr, Action: mgc.ACLAllow})
	}
	slices.SortFunc(out, func(a, b mgc.ACL) int { return cmp.Compare(a.RemoteIPPrefix, b.RemoteIPPrefix) })
	return slices.CompactFunc(out, func(a, b mgc.ACL) bool { return a.RemoteIPPrefix == b.RemoteIPPrefix })
}

// targets of a part: its node port on all nodes.
func (w *want) targets(p part) []mgc.Target {
	out := make([]mgc.Target, 0, len(w.nics)) // the contract wants a list
	for _, nic := range w.nics {
		out = append(out, mgc.Target{NICID: nic, Port: p.nodePort})
	}
	return out
}

func (w *want) part(name string) *part {
	if n := slices.IndexFunc(w.parts, func(p part) bool { return p.name == name }); n >= 0 {
		return &w.parts[n]
	}
	return nil
}

// create is the whole of it as one request.
func (w *want) create(vpcID, publicIPID string) mgc.LoadBalancerCreate {
	in := mgc.LoadBalancerCreate{Name: w.name, Description: w.description, Type: "proxy", Visibility: w.visibility, VPCID: vpcID, PublicIPID: publicIPID, ACLs: w.acls}
	for _, p := range w.parts {
		in.Listeners = append(in.Listeners, mgc.ListenerCreate{Name: p.name, BackendName: p.name, Protocol: "tcp", Port: p.port})
		in.Backends = append(in.Backends, w.backend(p))
		in.HealthChecks = append(in.HealthChecks, p.check)
	}
	return in
}

func (w *want) backend(p part) mgc.BackendCreate {
	return mgc.BackendCreate{Name: p.name, HealthCheckName: p.name, BalanceAlgorithm: mgc.BalanceRoundRobin, TargetsType: mgc.TargetsInstance, Targets: w.targets(p)}
}

// nameOf the Service's load balancer in the cloud.
func nameOf(clusterID string, svc *corev1.Service) string {
	return "mke-" + short(clusterID) + "-" + string(svc.UID)
}

func short(clusterID string) string { return clusterID[:min(8, len(clusterID))] }

const markKey = "mke.cluster-id="

// describe marks the load balancer as the cluster's. Whoever deletes the cluster reads there whether the public IP shall stay.
func describe(clusterID string, svc *corev1.Service, retain bool) string {
	text := markKey + clusterID
	if retain {
		text += " public-ip=" + reclaimRetain
	}
	text += " service=" + svc.Namespace + "/" + svc.Name
	return text[:min(maxDescription, len(text))]
}
