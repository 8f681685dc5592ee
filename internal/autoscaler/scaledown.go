package autoscaler

import (
	"context"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/autoscaler/plan"
)

// downState is what is known of nodes that may go.
type downState struct {
	unneeded   map[string]time.Time // since when
	drains     map[string]*drain
	postponed  map[string]postponed
	kept       map[string]plan.KeptReason
	told       map[string]string // the last event of a node that a Pod keeps
	plan       *plan.ScaleDown
	planned    time.Time
	stale      bool // something has changed since the plan was made
	lastDelete time.Time
	lastFail   time.Time
	cooling    bool
}

// postponed is a node that could not be removed. The pause doubles with each failure: the plan takes others meanwhile, which could
// have gone if this one had not been preferred. It ends early when the Pods that were in the way have gone by themselves.
type postponed struct {
	until  time.Time
	pause  time.Duration
	reason string
	pods   bool // were in the way
}

// longestPause of a node that cannot be removed, and how long its failures are remembered.
const longestPause = time.Hour

func newDownState() *downState {
	return &downState{unneeded: map[string]time.Time{}, drains: map[string]*drain{}, postponed: map[string]postponed{}, kept: map[string]plan.KeptReason{}}
}

// scaleDown finds nodes that are not needed and removes those that have not been for long enough.
func (a *autoscaler) scaleDown(ctx context.Context, l *look) error {
	if !a.opts.ScaleDownEnabled {
		return nil
	}
	if err := a.planScaleDown(ctx, l); err != nil {
		return err
	}
	if err := a.markCandidates(ctx, l); err != nil {
		return err
	}
	until := a.coolingUntil()
	a.down.cooling = l.now.Before(until)
	inCooldown.Set(btof(a.down.cooling))
	if a.down.cooling {
		l.wakeAt(until)
		return nil
	}
	return a.removeRipe(ctx, l)
}

func (a *autoscaler) coolingUntil() time.Time {
	out := time.Time{}
	for _, c := range []struct {
		last  time.Time
		delay time.Duration
	}{{a.up.last, a.opts.DelayAfterAdd}, {a.down.lastDelete, a.opts.DelayAfterDelete}, {a.down.lastFail, a.opts.DelayAfterFailure}} {
		if c.last.IsZero() {
			continue
		}
		if end := c.last.Add(c.delay); end.After(out) {
			out = end
		}
	}
	return out
}

// planScaleDown asks the planner again if anything has changed since it last did, but not all the time: what it says of nodes that
// may go together stays true while others of them go. It keeps the time since when each node is unneeded.
func (a *autoscaler) planScaleDown(ctx context.Context, l *look) error {
	a.down.stale = a.down.stale || l.changed
	a.resumeEmpty(l)
	for node, p := range a.down.postponed {
		switch {
		case l.now.Before(p.until):
			l.wakeAt(p.until)
		case l.now.Sub(p.until) > longestPause:
			delete(a.down.postponed, node)
		case a.down.planned.Before(p.until):
			a.down.stale = true
		}
	}
	if a.down.plan == nil || (a.down.stale && l.now.Sub(a.down.planned) >= a.opts.ScanInterval) {
		candidates := a.candidates(l)
		p := plan.ScaleDown{}
		if len(candidates) > 0 {
			began := time.Now()
			var err error
			p, err = a.planner.ScaleDown(ctx, l.state, candidates, plan.ScaleDownOptions{
				UtilizationThreshold: a.opts.UtilizationThreshold, SkipNodesWithSystemPods: a.opts.SkipSystemPods,
				SkipNodesWithLocalStorage: a.opts.SkipLocalStorage, SkipNodesWithCustomControllerPods: a.opts.SkipCustomControllerPods,
				MinReplicaCount: a.opts.MinReplicaCount, IgnoreDaemonSetsUtilization: a.opts.IgnoreDaemonSets,
			})
			observeDuration("scaleDown:plan", began)
			if err != nil {
				a.down.plan = nil
				return err
			}
		}
		a.down.plan, a.down.kept, a.down.planned, a.down.stale = &p, p.Kept, l.now, false
		a.tellBlocked(l)
	}
	a.keepTimes(l.now)
	return nil
}

// resumeEmpty ends the pauses of nodes whose Pods have gone by themselves.
func (a *autoscaler) resumeEmpty(l *look) {
	for node, p := range a.down.postponed {
		if p.pods && l.now.Before(p.until) && !l.hasPods(node) {
			delete(a.down.postponed, node)
			a.down.stale = true
		}
	}
}

// hasPods tells whether Pods of a node have to move before it can go.
func (l *look) hasPods(node string) bool {
	return slices.ContainsFunc(l.pods, func(p *corev1.Pod) bool { return p.Spec.NodeName == node && moves(p) })
}

// tellBlocked says on each node that a Pod or budget keeps which one that is, again only when it is another.
func (a *autoscaler) tellBlocked(l *look) {
	told := map[string]string{}
	for _, n := range l.nodes {
		k := a.down.kept[n.Name]
		if k.Code != plan.BlockedByPod {
			continue
		}
		told[n.Name] = k.Message
		if a.down.told[n.Name] != k.Message {
			a.events.Eventf(n, corev1.EventTypeNormal, "NoScaleDown", "the node is hardly used and stays: %s", k.Message)
		}
	}
	a.down.told = told
}

func (a *autoscaler) keepTimes(now time.Time) {
	removable := map[string]bool{}
	for _, r := range a.down.plan.Removable {
		removable[r.Node] = true
		if _, ok := a.down.unneeded[r.Node]; !ok {
			a.down.unneeded[r.Node] = now
		}
	}
	for node := range a.down.unneeded {
		if !removable[node] {
			delete(a.down.unneeded, node)
		}
	}
	unneededNodes.Set(float64(len(removable)))
	unremovableNodes.Reset()
	for _, k := range a.down.kept {
		unremovableNodes.WithLabelValues(k.Code).Inc()
	}
}

// candidates are the groups' nodes that have started and do not go already.
func (a *autoscaler) candidates(l *look) []string {
	var out []string
	for i := range l.views {
		v := &l.views[i]
		if v.Deleting || v.Target <= v.Min {
			continue
		}
		for _, list := range [][]member{v.ready, v.unready} {
			for _, m := range list {
				if !l.now.Before(a.down.postponed[m.node.Name].until) && !hasTaint(m.node, toBeDeletedTaint) {
					out = append(out, m.node.Name)
				}
			}
		}
	}
	slices.Sort(out)
	return out
}

// removeRipe removes nodes that have been unneeded for long enough: empty ones at once, others by draining them.
func (a *autoscaler) removeRipe(ctx context.Context, l *look) error {
	free := map[string]int{} // how many each group may still lose
	for i := range l.views {
		free[l.views[i].Name] = l.views[i].Target - l.views[i].Min
	}
	for _, d := range a.down.drains {
		free[d.group]--
	}
	room := a.opts.MaxScaleDownParallelism - len(a.down.drains)
	var empty []string
	for _, r := range a.down.plan.Removable {
		v, m := l.owners[r.Node].view, l.owners[r.Node].member
		if m == nil || hasTaint(m.node, toBeDeletedTaint) {
			continue
		}
		if ripe := a.down.unneeded[r.Node].Add(a.patience(m.node)); l.now.Before(ripe) {
			l.wakeAt(ripe)
			continue
		}
		if free[v.Name] <= 0 || room <= 0 {
			continue
		}
		if !r.Empty {
			if len(a.down.drains) >= a.opts.MaxDrainParallelism {
				continue
			}
			if err := a.startDrain(ctx, l, v, m, r); err != nil {
				return err
			}
		} else {
			empty = append(empty, r.Node)
		}
		free[v.Name]--
		room--
	}
	return a.removeEmpty(ctx, l, empty)
}

func (a *autoscaler) patience(n *corev1.Node) time.Duration {
	if isReady(n) {
		return a.opts.UnneededTime
	}
	return a.opts.UnreadyTime
}

// markCandidates puts a soft taint on nodes that may go, so that Pods rather go elsewhere, and takes it from those that stay.
func (a *autoscaler) markCandidates(ctx context.Context, l *look) error {
	left := a.opts.MaxBulkSoftTaintCount
	for _, n := range l.nodes {
		_, unneeded := a.down.unneeded[n.Name]
		if left <= 0 || unneeded == hasTaint(n, candidateTaint) || hasTaint(n, toBeDeletedTaint) {
			continue
		}
		left--
		var err error
		if unneeded {
			err = addTaint(ctx, a.client, n.Name, candidateTaint, corev1.TaintEffectPreferNoSchedule, l.now)
		} else {
			err = removeTaints(ctx, a.client, n.Name, candidateTaint)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// postpone keeps a node for a while and says why.
func (a *autoscaler) postpone(l *look, node *corev1.Node, reason string) {
	pause := min(max(a.opts.RecheckTimeout, 2*a.down.postponed[node.Name].pause), longestPause)
	a.down.postponed[node.Name] = postponed{until: l.now.Add(pause), pause: pause, reason: reason, pods: l.hasPods(node.Name)}
	a.down.lastFail = l.now
	delete(a.down.unneeded, node.Name)
	a.events.Eventf(node, corev1.EventTypeWarning, "ScaleDownFailed", "failed to remove node: %s", reason)
}

// stays says in words why nodes of a group that nobody uses much stay, "" if none does.
func (a *autoscaler) stays(v *view, now time.Time) string {
	var out []string
	for _, m := range v.ready {
		if p := a.down.postponed[m.node.Name]; now.Before(p.until) {
			out = append(out, m.node.Name+": "+p.reason)
			continue
		}
		switch k := a.down.kept[m.node.Name]; k.Code {
		case plan.BlockedByPod, plan.ScaleDownDisabledAnnotation:
			out = append(out, m.node.Name+": "+k.Message)
		}
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	if len(out) > 3 {
		out = append(out[:3], "and others")
	}
	return "nodes that stay although they are hardly used: " + strings.Join(out, "; ")
}
