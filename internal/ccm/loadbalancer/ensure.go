package loadbalancer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/mgc"
)

// Ensure brings the Service's load balancer to what the Service asks for, and returns it once it is.
func (m *Manager) Ensure(ctx context.Context, svc *corev1.Service, nodes []*corev1.Node) (*mgc.LoadBalancer, error) {
	defer m.alone(svc)()
	m.wanted(svc)
	return m.ensure(ctx, svc, nodes)
}

func (m *Manager) ensure(ctx context.Context, svc *corev1.Service, nodes []*corev1.Node) (*mgc.LoadBalancer, error) {
	ctx, cancel := context.WithTimeout(ctx, m.budget)
	defer cancel()
	s, err := parse(svc)
	if err != nil {
		return nil, err
	}
	w, err := m.want(ctx, svc, s, nodes)
	if err != nil {
		return nil, err
	}
	lb, err := m.findOne(ctx, svc)
	if err != nil {
		return nil, err
	}
	if lb == nil {
		return m.begin(ctx, svc, s, w)
	}
	if err := changeable(lb, svc, s); err != nil {
		return nil, err
	}
	return m.bring(ctx, svc, lb.ID, lb, w)
}

// UpdateTargets gives the load balancer other nodes. Those matter even while the Service has something that is refused. It does nothing for
// a Service that Delete was called for in the meantime.
func (m *Manager) UpdateTargets(ctx context.Context, svc *corev1.Service, nodes []*corev1.Node) error {
	defer m.alone(svc)()
	if m.isLeaving(svc) {
		return nil
	}
	_, err := m.ensure(ctx, svc, nodes)
	var no *refusal
	if !errors.As(err, &no) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, m.budget)
	defer cancel()
	lb, findErr := m.findOne(ctx, svc)
	if findErr != nil || lb == nil {
		return err
	}
	nics, nodesErr := m.machines.of(ctx, nodes)
	if nodesErr != nil {
		return nodesErr
	}
	if targetsErr := m.onlyTargets(ctx, svc, lb, nics); targetsErr != nil {
		return targetsErr
	}
	return err
}

// onlyTargets changes the nodes of the backends that there are, and nothing else.
func (m *Manager) onlyTargets(ctx context.Context, svc *corev1.Service, lb *mgc.LoadBalancer, nics []string) error {
	w := &want{nics: nics}
	for _, p := range svc.Spec.Ports {
		if p.Protocol == corev1.ProtocolTCP && p.NodePort != 0 {
			w.parts = append(w.parts, part{name: partName(p), nodePort: int(p.NodePort)})
		}
	}
	_, err := m.converge(ctx, svc, lb.ID, lb, func(lb *mgc.LoadBalancer) *step { return replaceTargets(lb, w) })
	return err
}

func (m *Manager) want(ctx context.Context, svc *corev1.Service, s settings, nodes []*corev1.Node) (*want, error) {
	parts, err := parts(svc, s)
	if err != nil {
		return nil, err
	}
	ranges, err := sourceRanges(svc)
	if err != nil {
		return nil, err
	}
	w := &want{name: nameOf(m.clusterID, svc), description: describe(m.clusterID, svc, s.reclaim == reclaimRetain), visibility: s.visibility, parts: parts}
	if w.nics, err = m.machines.of(ctx, nodes); err != nil {
		return nil, err
	}
	if ranges != nil {
		own, err := m.ownSubnets(ctx, nodes)
		if err != nil {
			return nil, err
		}
		w.acls = acls(append(ranges, own...))
	}
	return w, nil
}

// findOne returns the load balancer to keep, nil if there is none. A second one, of a request whose answer was lost, goes.
func (m *Manager) findOne(ctx context.Context, svc *corev1.Service) (*mgc.LoadBalancer, error) {
	named, err := m.find(ctx, svc, time.Now().Add(-listTTL))
	if err != nil || len(named) == 0 {
		return nil, err
	}
	for _, lb := range named[1:] {
		if lb.Status != mgc.LoadBalancerDeleting {
			klog.InfoS("deleting a second load balancer of a Service", "service", klog.KObj(svc), "loadBalancer", lb.ID)
			if err := m.remove(ctx, svc, lb.ID, svc.Spec.LoadBalancerIP == ""); err != nil {
				return nil, err
			}
		}
	}
	return &named[0], nil
}

// changeable refuses what the cloud cannot change on a living load balancer.
func changeable(lb *mgc.LoadBalancer, svc *corev1.Service, s settings) error {
	const how = "; delete the Service and create it again"
	if lb.Visibility != s.visibility {
		return refuse("annotation %s: the load balancer is %s and cannot become %s"+how, AnnotationVisibility, lb.Visibility, s.visibility)
	}
	if ip := svc.Spec.LoadBalancerIP; ip != "" && lb.PublicIP != nil && lb.PublicIP.IPAddress != ip {
		return refuse("spec.loadBalancerIP: the load balancer has the public IP %s and cannot get %s"+how, lb.PublicIP.IPAddress, ip)
	}
	if isUUID(s.adopt) && !strings.EqualFold(lb.ID, s.adopt) { // its name has changed since
		return refuse("annotation %s: the Service already has the load balancer %s"+how, AnnotationAdopt, lb.ID)
	}
	return nil
}

// begin adopts or makes the load balancer.
func (m *Manager) begin(ctx context.Context, svc *corev1.Service, s settings, w *want) (*mgc.LoadBalancer, error) {
	if s.adopt != "" {
		id, err := m.adopt(ctx, svc, s, w)
		if err != nil {
			return nil, err
		}
		return m.bring(ctx, svc, id, nil, w)
	}
	vpcID, err := m.vpc(ctx)
	if err != nil {
		return nil, err
	}
	publicIP, err := m.network.publicIP(ctx, svc.Spec.LoadBalancerIP)
	if err != nil {
		return nil, err
	}
	var id string
	err = m.write(ctx, svc, "create", func(ctx context.Context, c *mgc.LoadBalancerClient) (err error) {
		id, err = c.Create(ctx, w.create(vpcID, publicIP))
		return err
	})
	if err != nil {
		return nil, err // perhaps it was made: the next pass looks
	}
	return m.bring(ctx, svc, id, nil, w)
}

// bring takes all differences away.
func (m *Manager) bring(ctx context.Context, svc *corev1.Service, id string, lb *mgc.LoadBalancer, w *want) (*mgc.LoadBalancer, error) {
	lb, err := m.converge(ctx, svc, id, lb, func(lb *mgc.LoadBalancer) *step { return next(lb, w) })
	if err == nil && address(lb) == "" {
		return nil, &waiting{"the load balancer has no address yet"}
	}
	return lb, err
}

// maxConflicts in one pass: that the cloud is busy with another change is no failure, but it ends.
const maxConflicts = 4

// converge takes steps until there is none. lb is what is known already, or nil. Steps follow each other at once, unless the cloud has
// refused a change because it was busy with another one.
func (m *Manager) converge(ctx context.Context, svc *corev1.Service, id string, lb *mgc.LoadBalancer, next func(*mgc.LoadBalancer) *step) (*mgc.LoadBalancer, error) {
	var err error
	for conflicts, patient := 0, m.patient.Load(); ; {
		if lb == nil || !settled(lb, patient) {
			if lb, err = m.wait(ctx, svc, id, patient); err != nil {
				return nil, err
			}
		}
		if lb.Status == mgc.LoadBalancerFailed {
			return nil, m.failed(ctx, svc, lb)
		}
		s := next(lb)
		if s == nil {
			if lb.Status == mgc.LoadBalancerRunning {
				return lb, nil
			}
			lb, patient = nil, true // all is ordered, but not yet in force
			continue
		}
		err = m.write(ctx, svc, s.name, s.do)
		switch {
		case err == nil:
			klog.InfoS("changed a load balancer", "service", klog.KObj(svc), "step", s.name)
		case mgc.IsConflict(err) && conflicts < maxConflicts:
			conflicts, patient = conflicts+1, true
			m.patient.Store(true)
		default:
			return nil, err
		}
		lb = nil
	}
}

// settled is true if the next step can be taken: nothing is under way, or only changes and we are not patient.
func settled(lb *mgc.LoadBalancer, patient bool) bool {
	return slices.Contains(atRest, lb.Status) || !patient && lb.Status == mgc.LoadBalancerUpdating
}

var atRest = []string{mgc.LoadBalancerRunning, mgc.LoadBalancerFailed}

// wait asks for the load balancer until it has settled.
func (m *Manager) wait(ctx context.Context, svc *corev1.Service, id string, patient bool) (lb *mgc.LoadBalancer, err error) {
	err = m.poll(ctx, busy, func() (bool, error) {
		lb, err = m.balancers.get(ctx, id)
		switch {
		case mgc.IsNotFound(err), err == nil && (lb.Status == mgc.LoadBalancerDeleting || lb.Status == mgc.LoadBalancerDeleted):
			m.wrote(svc) // or rather somebody did
			return false, &waiting{"the load balancer was deleted in the cloud; a new one will be made"}
		case err != nil:
			return false, err
		}
		return settled(lb, patient), nil
	})
	return lb, err
}

// failed starts again where nobody knows the address yet; else a person has to decide.
func (m *Manager) failed(ctx context.Context, svc *corev1.Service, lb *mgc.LoadBalancer) error {
	details := lb.ErrorDetails
	if details == "" {
		details = "the cloud gave no reason"
	}
	if len(svc.Status.LoadBalancer.Ingress) > 0 || broughtIP(svc) {
		return refuse("the load balancer %s failed in the cloud: %s; delete the Service and create it again, or ask the cloud's support", lb.ID, details)
	}
	if err := m.remove(ctx, svc, lb.ID, true); err != nil {
		return err
	}
	return &waiting{"the load balancer failed in the cloud and is made again: " + details}
}
