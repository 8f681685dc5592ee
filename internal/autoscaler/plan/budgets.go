package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// budget is a PodDisruptionBudget and what is left of it.
type budget struct {
	*policyv1.PodDisruptionBudget
	selector labels.Selector
	left     int32
}

// budgets are by namespace.
type budgets map[string][]*budget

func newBudgets(pdbs []*policyv1.PodDisruptionBudget) (budgets, error) {
	all := budgets{}
	for _, pdb := range pdbs {
		selector, err := metav1.LabelSelectorAsSelector(pdb.Spec.Selector)
		if err != nil {
			return nil, fmt.Errorf("selector of PodDisruptionBudget %s/%s: %w", pdb.Namespace, pdb.Name, err)
		}
		b := &budget{PodDisruptionBudget: pdb, selector: selector, left: pdb.Status.DisruptionsAllowed}
		if pdb.Status.ObservedGeneration < pdb.Generation {
			b.left = 0 // the status is about another spec: the API would refuse, too
		}
		all[pdb.Namespace] = append(all[pdb.Namespace], b)
	}
	return all, nil
}

func (all budgets) of(pod *corev1.Pod) []*budget {
	var found []*budget
	for _, b := range all[pod.Namespace] {
		if b.selector.Matches(labels.Set(pod.Labels)) {
			found = append(found, b)
		}
	}
	return found
}

// refuses names the budget that keeps the pods, "" when they may be evicted: together, or one after the other as soon as those before run
// elsewhere.
func (all budgets) refuses(pods []*corev1.Pod) string {
	for _, pod := range pods {
		found := all.of(pod)
		if len(found) > 1 {
			return fmt.Sprintf("pod %s/%s has several PodDisruptionBudgets (%s, %s): it cannot be evicted",
				pod.Namespace, pod.Name, found[0].Name, found[1].Name)
		}
		if len(found) == 0 || found[0].free(pod) {
			continue
		}
		if found[0].left < 1 {
			return fmt.Sprintf("PodDisruptionBudget %s/%s does not allow to evict pod %s", pod.Namespace, found[0].Name, pod.Name)
		}
	}
	return ""
}

// spend takes from the budgets what evicting the pods takes: more than is left when they go one after the other.
func (all budgets) spend(pods []*corev1.Pod) {
	for _, pod := range pods {
		for _, b := range all.of(pod) {
			if !b.free(pod) {
				b.left--
			}
		}
	}
}

// free tells whether the API evicts the pod without taking from the budget.
func (b *budget) free(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodPending || finished(pod) {
		return true
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return false
		}
	}
	always := b.Spec.UnhealthyPodEvictionPolicy != nil && *b.Spec.UnhealthyPodEvictionPolicy == policyv1.AlwaysAllow
	return always || b.Status.DesiredHealthy > 0 && b.Status.CurrentHealthy >= b.Status.DesiredHealthy
}
