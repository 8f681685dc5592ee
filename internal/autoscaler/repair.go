package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
)

// eatenGrace is how long Cluster API has for deleting a machine for which the target was reduced, while it has none too many.
const eatenGrace = time.Minute

// Codes of failures, in the status and metrics.
const (
	codeRefused = "cloudProviderError"
	codeTimeout = "timeout"
	codeTainted = "unexpectedTaint"
	codeNotMade = "machinesNotMade"
)

// repairs remembers since when something has been wrong.
type repairs struct {
	cleaned bool
	eaten   map[string]time.Time
	short   map[string]shortage
}

type shortage struct {
	target, live int
	since        time.Time
}

func newRepairs() *repairs {
	return &repairs{eaten: map[string]time.Time{}, short: map[string]shortage{}}
}

// repair mends what an earlier process left, and what the cloud or Cluster API did not do.
func (a *autoscaler) repair(ctx context.Context, l *look) error {
	if err := a.cleanUp(ctx, l); err != nil {
		return err
	}
	var errs []error
	for i := range l.views {
		v := &l.views[i]
		if v.Deleting {
			continue
		}
		for _, m := range v.ready {
			if !hasTaint(m.node, toBeDeletedTaint) {
				a.backoff.succeeded(v.Name, m.Created)
			}
		}
		if v.tainted != "" {
			a.failed(v, codeTainted, fmt.Sprintf("its nodes come with the taint %s, which the pool does not declare", v.tainted), l.now)
		}
		errs = append(errs, a.restoreMarks(ctx, l, v), a.restoreTaints(ctx, v), a.restoreEaten(ctx, l, v), a.dropRefused(ctx, l, v), a.dropOverdue(ctx, l, v), a.dropUnmade(ctx, l, v))
	}
	return errors.Join(errs...)
}

// cleanUp takes away, once, the taints of an earlier process. Machines that it removed keep them.
func (a *autoscaler) cleanUp(ctx context.Context, l *look) error {
	if a.repairs.cleaned {
		return nil
	}
	leaving := map[string]bool{}
	for i := range l.views {
		for _, m := range l.views[i].leaving {
			if m.node != nil {
				leaving[m.node.Name] = true
			}
		}
	}
	for _, n := range l.nodes {
		if leaving[n.Name] || (!hasTaint(n, toBeDeletedTaint) && !hasTaint(n, candidateTaint)) {
			continue
		}
		if err := removeTaints(ctx, a.client, n.Name, toBeDeletedTaint, candidateTaint); err != nil {
			return fmt.Errorf("node %s: %w", n.Name, err)
		}
	}
	a.repairs.cleaned = true
	return nil
}

// restoreMarks undoes removals that broke off before the target was reduced.
func (a *autoscaler) restoreMarks(ctx context.Context, l *look, v *view) error {
	for _, m := range v.Machines {
		if !m.Marked || m.Removed || m.Deleting {
			continue
		}
		klog.InfoS("Undoing a removal that broke off", "group", v.Name, "machine", m.Name)
		if err := a.groups.Restore(ctx, v.Name, m.Name, true); err != nil {
			return err
		}
		l.acted = true
	}
	return nil
}

// restoreTaints lets Pods come again to nodes whose removal broke off.
func (a *autoscaler) restoreTaints(ctx context.Context, v *view) error {
	for _, m := range v.ready {
		if !hasTaint(m.node, toBeDeletedTaint) || a.down.drains[m.node.Name] != nil {
			continue
		}
		if err := removeTaints(ctx, a.client, m.node.Name, toBeDeletedTaint); err != nil {
			return err
		}
	}
	return nil
}

// restoreEaten gives back machines that stay although the target was reduced for them: another machine went at that moment, for
// instance because it was sick, or the target was raised again before Cluster API had acted.
func (a *autoscaler) restoreEaten(ctx context.Context, l *look, v *view) error {
	surplus := v.Live() > v.Target
	for _, m := range v.Machines {
		if !m.Removed || m.Deleting || surplus {
			delete(a.repairs.eaten, m.Name)
			continue
		}
		since, ok := a.repairs.eaten[m.Name]
		if !ok {
			a.repairs.eaten[m.Name] = l.now
			since = l.now
		}
		if l.now.Sub(since) < eatenGrace {
			l.wakeAt(since.Add(eatenGrace))
			continue
		}
		klog.InfoS("A machine was not removed because another went", "group", v.Name, "machine", m.Name)
		if err := a.groups.Restore(ctx, v.Name, m.Name, false); err != nil {
			return err
		}
		if m.Node != "" {
			if err := removeTaints(ctx, a.client, m.Node, toBeDeletedTaint); err != nil {
				return err
			}
		}
		delete(a.repairs.eaten, m.Name)
		l.acted = true
	}
	return nil
}

// dropRefused gives up machines whose VMs the cloud does not make.
func (a *autoscaler) dropRefused(ctx context.Context, l *look, v *view) error {
	if len(v.refused) == 0 {
		return nil
	}
	a.failed(v, codeRefused, v.refused[0].Failure, l.now)
	return a.drop(ctx, l, v, v.refused)
}

// dropOverdue gives up machines whose nodes did not come up in time. If others of the group did since, new ones are made at once.
func (a *autoscaler) dropOverdue(ctx context.Context, l *look, v *view) error {
	if len(v.overdue) == 0 {
		return nil
	}
	oldest := v.overdue[0].Created
	for _, m := range v.overdue {
		if m.Created.Before(oldest) {
			oldest = m.Created
		}
	}
	came := 0
	for _, m := range v.ready {
		if !m.Created.Before(oldest) {
			came++
		}
	}
	if came < len(v.overdue) {
		a.failed(v, codeTimeout, fmt.Sprintf("%d of its nodes did not come up within %s", len(v.overdue), a.opts.MaxProvisionTime), l.now)
	}
	return a.drop(ctx, l, v, v.overdue)
}

// drop reduces the target to what there is, but not below the smallest size: what is missing to that is tried on by the
// provider and the pool's health check.
func (a *autoscaler) drop(ctx context.Context, l *look, v *view, members []member) error {
	n := min(len(members), v.Target-v.Min)
	if n <= 0 {
		return nil
	}
	l.acted = true
	err := a.groups.Remove(ctx, v.Name, v.Min, names(members)[:n])
	if errors.Is(err, nodegroup.ErrChanged) {
		return nil
	}
	return err
}

// dropUnmade reduces the target of a group for which Cluster API has not made the machines for long.
func (a *autoscaler) dropUnmade(ctx context.Context, l *look, v *view) error {
	live := 0
	for _, m := range v.Machines {
		if !m.Deleting && !m.Removed {
			live++
		}
	}
	to := max(live, v.Min)
	if v.Target <= to {
		delete(a.repairs.short, v.Name)
		return nil
	}
	s := a.repairs.short[v.Name]
	if s.target != v.Target || s.live != live || s.since.IsZero() {
		a.repairs.short[v.Name] = shortage{v.Target, live, l.now}
		return nil
	}
	if l.now.Sub(s.since) < a.opts.MaxProvisionTime {
		return nil
	}
	a.failed(v, codeNotMade, fmt.Sprintf("Cluster API has made %d of %d machines", live, v.Target), l.now)
	l.acted = true
	err := a.groups.Resize(ctx, v.Name, v.Target, to)
	if errors.Is(err, nodegroup.ErrChanged) {
		return nil
	}
	return err
}

// failed makes a pause for the group and says so once.
func (a *autoscaler) failed(v *view, code, reason string, now time.Time) {
	if a.backoff.blocked(v.Name, now) != "" {
		return
	}
	a.backoff.fail(v.Name, code, reason, now)
	failedScaleUps.WithLabelValues(code).Inc()
	klog.InfoS("Node group is left alone for a while", "group", v.Name, "reason", reason)
	a.events.Eventf(a.statusObject(), corev1.EventTypeWarning, "FailedToScaleUpGroup", "Scale-up failed for group %s: %s", v.Name, reason)
}
