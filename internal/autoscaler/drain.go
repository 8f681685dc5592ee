package autoscaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/klog/v2"

	"magalu.cloud/mke/internal/autoscaler/nodegroup"
	"magalu.cloud/mke/internal/autoscaler/plan"
)

const (
	// evictionRetry is the pause before a refused eviction is tried again.
	evictionRetry = 5 * time.Second
	// callsAtOnce bounds concurrent calls to the customer's API server.
	callsAtOnce = 16
)

// drain is a node that is being emptied, a step in each look. Nothing of it is kept elsewhere: a new process takes the taint away
// and begins with the decision.
type drain struct {
	group, machine string
	left           int       // the fewest Pods so far whose eviction was not granted yet
	progress       time.Time // when they last became fewer
	nextTry        time.Time
	refusal        string
}

func (a *autoscaler) startDrain(ctx context.Context, l *look, v *view, m *member, r plan.Removable) error {
	if err := addTaint(ctx, a.client, r.Node, toBeDeletedTaint, corev1.TaintEffectNoSchedule, l.now); err != nil {
		return fmt.Errorf("node %s: %w", r.Node, err)
	}
	klog.InfoS("Draining a node that is not needed", "node", r.Node, "group", v.Name, "utilization", r.Utilization, "pods", len(r.Pods))
	a.events.Eventf(m.node, corev1.EventTypeNormal, "ScaleDown", "marked the node as toBeDeleted/unschedulable, its %d pods move", len(r.Pods))
	a.down.drains[r.Node] = &drain{group: v.Name, machine: m.Name, left: math.MaxInt}
	l.acted = true
	return nil
}

// stepDrains does for each node what can be done now.
func (a *autoscaler) stepDrains(ctx context.Context, l *look) error {
	if len(a.down.drains) == 0 {
		return nil
	}
	byNode := map[string][]*corev1.Pod{}
	for _, p := range l.pods {
		if p.Spec.NodeName != "" && moves(p) {
			byNode[p.Spec.NodeName] = append(byNode[p.Spec.NodeName], p)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.down.drains)) {
		v, m := l.owners[name].view, l.owners[name].member
		if m == nil { // gone, or somebody else deletes its machine
			delete(a.down.drains, name)
			continue
		}
		if err := a.stepDrain(ctx, l, v, m, byNode[name]); err != nil {
			return fmt.Errorf("node %s: %w", name, err)
		}
	}
	return nil
}

func (a *autoscaler) stepDrain(ctx context.Context, l *look, v *view, m *member, pods []*corev1.Pod) error {
	d := a.down.drains[m.node.Name]
	if len(pods) == 0 {
		return a.finishDrain(ctx, l, v, m, d)
	}
	var left []*corev1.Pod
	for _, p := range pods {
		if p.DeletionTimestamp == nil {
			left = append(left, p)
		}
	}
	if len(left) < d.left { // a budget lets them go one by one: those that come later have as much time
		d.left, d.progress = len(left), l.now
	}
	giveUp := d.progress.Add(a.opts.MaxPodEvictionTime)
	switch {
	case len(left) == 0: // all are ending
		giveUp = giveUp.Add(time.Duration(a.opts.MaxGracefulTermination) * time.Second)
		if !l.now.Before(giveUp) {
			return a.abortDrain(ctx, l, m, fmt.Sprintf("pod %s/%s does not end", pods[0].Namespace, pods[0].Name))
		}
		l.wakeAt(giveUp)
		return nil
	case !l.now.Before(giveUp):
		if d.refusal == "" {
			d.refusal = fmt.Sprintf("pod %s/%s could not be evicted", left[0].Namespace, left[0].Name)
		}
		return a.abortDrain(ctx, l, m, d.refusal)
	case l.now.Before(d.nextTry):
		l.wakeAt(d.nextTry)
		return nil
	}
	var err error
	d.refusal, err = a.evictAll(ctx, left)
	d.nextTry = l.now.Add(evictionRetry)
	l.wakeAt(d.nextTry)
	return err
}

// evictAll asks for the eviction of all Pods and returns why one was refused.
func (a *autoscaler) evictAll(ctx context.Context, pods []*corev1.Pod) (string, error) {
	refusals := make([]string, len(pods))
	var calls errgroup.Group
	calls.SetLimit(callsAtOnce)
	for i, p := range pods {
		calls.Go(func() error {
			err := a.client.PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
				ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name},
				DeleteOptions: &metav1.DeleteOptions{
					GracePeriodSeconds: grace(p, a.opts.MaxGracefulTermination), Preconditions: metav1.NewUIDPreconditions(string(p.UID)),
				},
			})
			switch {
			case err == nil:
				evictedPods.WithLabelValues("succeeded").Inc()
			case apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another Pod of that name
			case apierrors.IsTooManyRequests(err):
				evictedPods.WithLabelValues("failed").Inc()
				refusals[i] = fmt.Sprintf("pod %s/%s: %s", p.Namespace, p.Name, budgetMessage(err))
			default:
				return err
			}
			return nil
		})
	}
	err := calls.Wait()
	for _, r := range refusals {
		if r != "" {
			return r, err
		}
	}
	return "", err
}

// budgetMessage is the cause that the API server gives, which names the budget.
func budgetMessage(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Details != nil {
		for _, c := range status.Status().Details.Causes {
			if c.Message != "" {
				return c.Message
			}
		}
	}
	return err.Error()
}

func grace(p *corev1.Pod, most int) *int64 {
	limit := int64(most)
	if g := p.Spec.TerminationGracePeriodSeconds; g != nil && *g < limit {
		return g
	}
	return &limit
}

func (a *autoscaler) finishDrain(ctx context.Context, l *look, v *view, m *member, d *drain) error {
	empty, err := a.isEmpty(ctx, m.node.Name)
	if err != nil || !empty { // the watch has not told of it yet
		l.wakeAt(l.now.Add(time.Second))
		return err
	}
	err = a.groups.Remove(ctx, v.Name, v.Min, []string{d.machine})
	if errors.Is(err, nodegroup.ErrChanged) {
		return a.abortDrain(ctx, l, m, "the node pool is at its smallest size")
	}
	if err != nil {
		return err
	}
	delete(a.down.drains, m.node.Name)
	a.removed(l, m.node, "underutilized")
	return nil
}

func (a *autoscaler) abortDrain(ctx context.Context, l *look, m *member, reason string) error {
	if err := removeTaints(ctx, a.client, m.node.Name, toBeDeletedTaint); err != nil {
		return err
	}
	klog.InfoS("A node could not be drained and stays", "node", m.node.Name, "reason", reason)
	delete(a.down.drains, m.node.Name)
	a.postpone(l, m.node, reason)
	l.acted = true
	return nil
}

// removeEmpty removes nodes without Pods: first the taint, so that the scheduler leaves them alone, then the question to the API
// server whether they are empty still, then all of a group in one write.
func (a *autoscaler) removeEmpty(ctx context.Context, l *look, nodes []string) error {
	ok := make([]bool, len(nodes))
	var calls errgroup.Group
	calls.SetLimit(callsAtOnce)
	for i, name := range nodes {
		calls.Go(func() error {
			if err := addTaint(ctx, a.client, name, toBeDeletedTaint, corev1.TaintEffectNoSchedule, l.now); err != nil {
				return fmt.Errorf("node %s: %w", name, err)
			}
			empty, err := a.isEmpty(ctx, name)
			if err != nil {
				return err
			}
			if !empty {
				return removeTaints(ctx, a.client, name, toBeDeletedTaint)
			}
			ok[i] = true
			return nil
		})
	}
	failed := calls.Wait()
	byGroup := map[*view][]*member{}
	for i, name := range nodes {
		if !ok[i] {
			a.down.plan = nil // it does not know of the node's Pods yet
		}
		if o := l.owners[name]; ok[i] && o.member != nil {
			byGroup[o.view] = append(byGroup[o.view], o.member)
		}
	}
	for i := range l.views {
		if v := &l.views[i]; len(byGroup[v]) > 0 {
			failed = errors.Join(failed, a.removeMembers(ctx, l, v, byGroup[v]))
		}
	}
	return failed
}

func (a *autoscaler) removeMembers(ctx context.Context, l *look, v *view, members []*member) error {
	var machines []string
	for _, m := range members {
		machines = append(machines, m.Name)
	}
	l.acted = true
	err := a.groups.Remove(ctx, v.Name, v.Min, machines)
	if errors.Is(err, nodegroup.ErrChanged) {
		return nil // the next look takes the marks and taints away
	}
	if err != nil {
		return err
	}
	for _, m := range members {
		a.removed(l, m.node, "empty")
	}
	return nil
}

func (a *autoscaler) removed(l *look, node *corev1.Node, why string) {
	l.acted, a.down.lastDelete = true, l.now
	delete(a.down.unneeded, node.Name)
	klog.InfoS("Removed a node", "node", node.Name, "why", why)
	scaledDownNodes.WithLabelValues(why).Inc()
	lastActivity.WithLabelValues("scaleDown").Set(float64(l.now.Unix()))
	a.events.Eventf(node, corev1.EventTypeNormal, "ScaleDown", "node removed by cluster autoscaler (%s)", why)
}

// isEmpty asks the API server itself.
func (a *autoscaler) isEmpty(ctx context.Context, node string) (bool, error) {
	list, err := a.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
	if err != nil {
		return false, err
	}
	for i := range list.Items {
		if moves(&list.Items[i]) {
			return false, nil
		}
	}
	return true, nil
}

// moves is true for a Pod that runs and has to run elsewhere when its node goes.
func moves(p *corev1.Pod) bool {
	_, mirror := p.Annotations[corev1.MirrorPodAnnotationKey]
	return !mirror && !ofDaemonSet(p) && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}
