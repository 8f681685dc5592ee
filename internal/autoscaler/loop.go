// Package autoscaler is the cluster autoscaler: one per customer cluster with an autoscaled node pool. It watches the cluster and its
// machines; plan decides, this package carries out, and nodegroup is Cluster API's side.
package autoscaler

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
	"magalu.cloud/mke/internal/autoscaler/plan"
)

// planner decides by simulation; plan.Planner in production.
type planner interface {
	ScaleUp(ctx context.Context, s plan.State, pending []*corev1.Pod) (plan.ScaleUp, error)
	ScaleDown(ctx context.Context, s plan.State, candidates []string, opt plan.ScaleDownOptions) (plan.ScaleDown, error)
}

// groups are the cluster's node groups; nodegroup.Provider in production.
type groups interface {
	List(ctx context.Context) (groups []nodegroup.Group, problems []error, err error)
	Resize(ctx context.Context, group string, from, to int) error
	Remove(ctx context.Context, group string, floor int, machines []string) error
	Restore(ctx context.Context, group, machine string, keepRecorded bool) error
	SetStatus(ctx context.Context, group, status string) error
}

// reader shows the customer's cluster as the watches have told of it.
type reader interface {
	Nodes() ([]*corev1.Node, error)
	Pods() ([]*corev1.Pod, error)
	DaemonSets() ([]*appsv1.DaemonSet, error)
	PDBs() ([]*policyv1.PodDisruptionBudget, error)
	CSINode(node string) *storagev1.CSINode
}

// autoscaler of one cluster. All of it runs in one goroutine, one look after the other; what it must not forget is in the API servers.
type autoscaler struct {
	opts    Options
	limits  plan.Limits
	client  kubernetes.Interface
	cluster reader
	groups  groups
	planner planner
	clock   clock.PassiveClock
	events  record.EventRecorder

	backoff   *backoff
	templates *templates
	repairs   *repairs
	up        *upState
	down      *downState
	status    *statusWriter
	touched   *atomic.Bool
}

func newAutoscaler(o Options, client kubernetes.Interface, cluster reader, g groups, p planner, events record.EventRecorder, c clock.PassiveClock) (*autoscaler, error) {
	cores, err := upper("cores-total", o.CoresTotal)
	if err != nil {
		return nil, err
	}
	memory, err := upper("memory-total", o.MemoryTotal)
	if err != nil {
		return nil, err
	}
	a := &autoscaler{
		opts: o, limits: plan.Limits{MaxNodesTotal: o.MaxNodesTotal, MaxCores: cores, MaxMemoryGiB: memory},
		client: client, cluster: cluster, groups: g, planner: p, clock: c, events: events,
		backoff: newBackoff(o), templates: newTemplates(), repairs: newRepairs(), up: newUpState(), down: newDownState(), status: newStatusWriter(), touched: new(atomic.Bool),
	}
	a.touch()
	return a, nil
}

// touch says that something has changed since the last look.
func (a *autoscaler) touch() { a.touched.Store(true) }

// look is one look at the cluster: what it saw and made of it.
type look struct {
	now     time.Time
	changed bool
	nodes   []*corev1.Node
	pods    []*corev1.Pod
	views   []view
	owners  map[string]owned
	state   plan.State
	health  health
	acted   bool
	pending int
	// wake is when to look again at the latest.
	wake time.Time
}

func (l *look) wakeAt(t time.Time) {
	if !t.IsZero() && t.Before(l.wake) {
		l.wake = t
	}
}

// reached says whether it is t already, and else looks again then.
func (l *look) reached(t time.Time) bool {
	if l.now.Before(t) {
		l.wakeAt(t)
		return false
	}
	return true
}

// runOnce looks at the cluster and acts once. It returns when to look again if nothing happens before.
func (a *autoscaler) runOnce(ctx context.Context) (time.Duration, error) {
	l := &look{now: a.clock.Now(), changed: a.touched.Swap(false)}
	l.wake = l.now.Add(a.opts.ScanInterval)
	if err := a.see(ctx, l); err != nil {
		a.touch()
		return a.opts.ScanInterval, err
	}
	if err := a.act(ctx, l); err != nil {
		a.touch()
		return a.opts.ScanInterval, err
	}
	err := a.report(ctx, l)
	if l.acted {
		a.touch()
	}
	l.wakeAt(a.backoff.next(l.now))
	return max(0, l.wake.Sub(a.clock.Now())), err
}

// see takes the snapshot.
func (a *autoscaler) see(ctx context.Context, l *look) error {
	defer observeDuration("snapshot", time.Now())
	var err error
	if l.nodes, err = a.cluster.Nodes(); err != nil {
		return err
	}
	if l.pods, err = a.cluster.Pods(); err != nil {
		return err
	}
	found, problems, err := a.groups.List(ctx)
	if err != nil {
		return err
	}
	for _, p := range problems {
		klog.ErrorS(p, "Node pool is not autoscaled")
	}
	l.views = observe(found, l.nodes, a.opts, l.now)
	l.owners = owners(l.views)
	l.health = healthOf(l.nodes, l.views, a.opts, l.now)
	l.state, err = a.stateOf(l)
	return err
}

func (a *autoscaler) act(ctx context.Context, l *look) error {
	if err := a.repair(ctx, l); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	if l.acted { // the groups' sizes are others now: decide on fresh ones
		l.wakeAt(l.now)
		return nil
	}
	if !l.health.safe {
		return nil
	}
	if err := a.scaleUp(ctx, l); err != nil {
		return fmt.Errorf("scale up: %w", err)
	}
	if err := a.stepDrains(ctx, l); err != nil {
		return fmt.Errorf("drain: %w", err)
	}
	if l.acted {
		l.wakeAt(l.now)
		return nil
	}
	if err := a.scaleDown(ctx, l); err != nil {
		return fmt.Errorf("scale down: %w", err)
	}
	return nil
}

// stateOf is what the planner plans with. Nodes that start are not in it: the plan counts them as upcoming ones.
func (a *autoscaler) stateOf(l *look) (plan.State, error) {
	daemons, err := a.cluster.DaemonSets()
	if err != nil {
		return plan.State{}, err
	}
	budgets, err := a.cluster.PDBs()
	if err != nil {
		return plan.State{}, err
	}
	group, skip := map[string]string{}, map[string]bool{}
	s := plan.State{Pods: l.pods, DaemonSets: daemons, PDBs: budgets, Limits: a.limits, NodeGroup: func(node string) string { return group[node] }}
	for i := range l.views {
		v := &l.views[i]
		for _, list := range [][]member{v.ready, v.unready, v.overdue, v.leaving, v.starting} {
			for _, m := range list {
				if m.node != nil {
					group[m.node.Name] = v.Name
				}
			}
		}
		for _, m := range v.starting {
			if m.node != nil {
				skip[m.node.Name] = true
			}
		}
		if g, ok := a.planGroup(v, l); ok {
			s.Groups = append(s.Groups, g)
		}
	}
	for _, n := range l.nodes {
		if !skip[n.Name] {
			s.Nodes = append(s.Nodes, n)
		}
	}
	return s, nil
}

func (a *autoscaler) planGroup(v *view, l *look) (plan.Group, bool) {
	nodes, csi := a.templates.of(v, l.nodes, a.cluster)
	if len(nodes) == 0 || v.Deleting {
		return plan.Group{}, false
	}
	g := plan.Group{
		Name: v.Name, Templates: nodes, CSINode: csi, Size: v.Target, Min: v.Min, Max: v.Max,
		Upcoming: v.upcoming, Price: v.Price, Blocked: a.backoff.blocked(v.Name, l.now),
	}
	if a.backoff.probing(v.Name, l.now) {
		g.Max = min(g.Max, v.Target-v.upcoming+1)
		g.Max = max(g.Max, v.Target)
	}
	return g, true
}
