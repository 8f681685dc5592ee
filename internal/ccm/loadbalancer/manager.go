// Package loadbalancer gives Services of type LoadBalancer a load balancer in the cloud. A pass finds the Service's load balancer by its
// name, makes it if there is none, and then takes one difference after the other away. Nothing is remembered that matters: what a
// pass did not finish, or whose answer was lost, the next one finds in the cloud.
package loadbalancer

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/keymutex"

	"magalu.cloud/mke/internal/mgc"
)

const (
	// budget is how long one pass waits for the cloud before it makes room for other Services.
	budget = 8 * time.Second
	// The cloud is asked again after pollFirst, then less and less often.
	pollFirst, pollMost = 50 * time.Millisecond, 500 * time.Millisecond
	// again is when a pass that ran out of time is taken up again.
	again = time.Second
)

// passesAtOnce of different Services; two passes of one Service always follow each other.
const passesAtOnce = 256

// Manager keeps the load balancers of one cluster's Services. It is safe for concurrent use.
type Manager struct {
	passes    keymutex.KeyMutex // by Service
	clusterID string
	balancers *balancers
	machines  *machines
	network   *network
	budget    time.Duration
	pollFirst time.Duration
	patient   atomic.Bool // the cloud takes one change of a load balancer at a time

	mu sync.Mutex
	// written is when something was last written for a Service: older lists say nothing about it.
	written map[types.UID]time.Time
	// leaving is when Delete was called for a Service last.
	leaving map[types.UID]time.Time
}

// NewManager returns a manager for the cluster; connect returns the cloud with the credentials of the moment.
func NewManager(clusterID string, connect func() (*mgc.Client, error)) *Manager {
	b := newBalancers(connect)
	return &Manager{passes: keymutex.NewHashed(passesAtOnce), clusterID: clusterID, balancers: b, machines: &machines{balancers: b, label: markKey + clusterID}, network: &network{balancers: b},
		budget: budget, pollFirst: pollFirst, written: map[types.UID]time.Time{}, leaving: map[types.UID]time.Time{}}
}

// alone waits until no other pass works on the Service: the service controller makes some for changes of the Service, others for changes
// of Nodes, and does not keep them apart.
func (m *Manager) alone(svc *corev1.Service) (end func()) {
	key := string(svc.UID)
	m.passes.LockKey(key)
	return func() { _ = m.passes.UnlockKey(key) } // it never fails
}

// waiting is no failure: the cloud is at work.
type waiting struct{ text string }

func (w *waiting) Error() string { return w.text }

const busy = "the cloud is still preparing the load balancer"

// find returns the Service's load balancers, the one to keep first. There is more than one only after a lost answer.
func (m *Manager) find(ctx context.Context, svc *corev1.Service, notBefore time.Time) ([]mgc.LoadBalancer, error) {
	m.mu.Lock()
	if at := m.written[svc.UID]; at.After(notBefore) {
		notBefore = at
	}
	m.mu.Unlock()
	all, err := m.balancers.since(ctx, notBefore)
	if err != nil {
		return nil, err
	}
	var named []mgc.LoadBalancer
	for _, lb := range all {
		if lb.Name != nameOf(m.clusterID, svc) || lb.Status == mgc.LoadBalancerDeleted {
			continue
		}
		if !marked(&lb, m.clusterID) {
			return nil, refuse("load balancer %s has this Service's name but does not carry the cluster's mark %q in its description: put it back, or delete that load balancer",
				lb.ID, markKey+m.clusterID)
		}
		named = append(named, lb)
	}
	slices.SortFunc(named, func(a, b mgc.LoadBalancer) int { return rank(&a, svc) - rank(&b, svc) })
	return named, nil
}

// rank prefers the one whose address people may know already, and does not like one that is going.
func rank(lb *mgc.LoadBalancer, svc *corev1.Service) int {
	switch {
	case lb.Status == mgc.LoadBalancerDeleting:
		return 2
	case slices.ContainsFunc(svc.Status.LoadBalancer.Ingress, func(i corev1.LoadBalancerIngress) bool { return i.IP == address(lb) }):
		return 0
	}
	return 1
}

// write makes a change of the Service's load balancers. It may take longer than the pass, so that its answer is not lost.
func (m *Manager) write(ctx context.Context, svc *corev1.Service, name string, do func(context.Context, *mgc.LoadBalancerClient) error) error {
	ctx = context.WithoutCancel(ctx)
	err := m.balancers.call(ctx, name, func(c *mgc.Client) error { return do(ctx, c.LoadBalancer) })
	if mgc.IsInvalid(err) {
		m.machines.doubt()
	}
	m.wrote(svc)
	return err
}

// wrote makes lists that were begun before now useless for the Service.
func (m *Manager) wrote(svc *corev1.Service) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.written[svc.UID] = time.Now()
}

// leavingTTL is longer than a pass for changed Nodes, begun when the Service was still there, may wait for its turn.
const leavingTTL = time.Hour

func (m *Manager) leaves(svc *corev1.Service) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for uid, at := range m.leaving {
		if time.Since(at) > leavingTTL {
			delete(m.leaving, uid)
			delete(m.written, uid)
		}
	}
	m.leaving[svc.UID] = time.Now()
}

// wanted: a Service may become one of type LoadBalancer again.
func (m *Manager) wanted(svc *corev1.Service) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.leaving, svc.UID)
}

func (m *Manager) isLeaving(svc *corev1.Service) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, leaving := m.leaving[svc.UID]
	return leaving
}

// Exists is true while the cloud has a load balancer of the Service.
func (m *Manager) Exists(ctx context.Context, svc *corev1.Service) (*mgc.LoadBalancer, error) {
	named, err := m.find(ctx, svc, time.Now())
	if err != nil || len(named) == 0 {
		return nil, err
	}
	return &named[0], nil
}

// Delete returns nil once the cloud says that nothing of the Service is left.
func (m *Manager) Delete(ctx context.Context, svc *corev1.Service) error {
	defer m.alone(svc)()
	m.leaves(svc)
	ctx, cancel := context.WithTimeout(ctx, m.budget)
	defer cancel()
	named, err := m.find(ctx, svc, time.Now())
	if err != nil {
		return err
	}
	for _, lb := range named {
		if lb.Status == mgc.LoadBalancerDeleting {
			continue
		}
		if err := m.remove(ctx, svc, lb.ID, !keepsIP(svc)); err != nil {
			return err
		}
	}
	for _, lb := range named {
		if err := m.gone(ctx, lb.ID); err != nil {
			return err
		}
	}
	m.wrote(svc) // a list from before still has them
	return nil
}

func (m *Manager) remove(ctx context.Context, svc *corev1.Service, id string, withIP bool) error {
	err := m.write(ctx, svc, "delete", func(ctx context.Context, c *mgc.LoadBalancerClient) error { return c.Delete(ctx, id, withIP) })
	if mgc.IsNotFound(err) {
		return nil
	}
	return err
}

func (m *Manager) gone(ctx context.Context, id string) error {
	return m.poll(ctx, "the load balancer is being deleted", func() (bool, error) {
		lb, err := m.balancers.get(ctx, id)
		if mgc.IsNotFound(err) || err == nil && lb.Status == mgc.LoadBalancerDeleted {
			return true, nil
		}
		return false, err
	})
}

// poll asks until done, for as long as the pass may take.
func (m *Manager) poll(ctx context.Context, what string, done func() (bool, error)) error {
	for pause := m.pollFirst; ; pause = min(2*pause, pollMost) {
		ok, err := done()
		switch {
		case ctx.Err() != nil:
			return &waiting{what}
		case err != nil || ok:
			return err
		}
		select {
		case <-ctx.Done():
			return &waiting{what}
		case <-time.After(pause):
		}
	}
}

// marked is true if the description names the cluster.
func marked(lb *mgc.LoadBalancer, clusterID string) bool { return markOf(lb) == clusterID }

// address is what the Service's status shows: the public IP, or the VPC's for an internal one.
func address(lb *mgc.LoadBalancer) string {
	if lb.Visibility == mgc.VisibilityInternal {
		return lb.IPAddress
	}
	if lb.PublicIP == nil {
		return ""
	}
	return lb.PublicIP.IPAddress
}
