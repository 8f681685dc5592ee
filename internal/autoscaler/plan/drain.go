package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Annotations of users, in upstream's words.
const (
	safeToEvict             = "cluster-autoscaler.kubernetes.io/safe-to-evict"
	safeToEvictLocalVolumes = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
	scaleDownDisabled       = "cluster-autoscaler.kubernetes.io/scale-down-disabled"
)

// overdue is how long after its grace period a pod that is still being deleted no longer keeps a node.
const overdue = 30 * time.Second

// builtin are the controllers that are known to replace a pod.
var builtin = []string{"ReplicaSet", "ReplicationController", "StatefulSet", "Job"}

// drainRules decide which pods of a node have to be moved, and which cannot be.
type drainRules struct {
	ScaleDownOptions
	budgets  budgets
	replicas map[types.UID]int // pods by controller
	now      time.Time
}

func newDrainRules(opt ScaleDownOptions, all budgets, pods []*corev1.Pod, now time.Time) *drainRules {
	r := &drainRules{ScaleDownOptions: opt, budgets: all, replicas: map[types.UID]int{}, now: now}
	for _, pod := range pods {
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && !finished(pod) {
			r.replicas[owner.UID]++
		}
	}
	return r
}

// stays tells whether the pod goes with its node without being moved.
func (r *drainRules) stays(pod *corev1.Pod) bool {
	return mirror(pod) || ofDaemonSet(pod) || pod.DeletionTimestamp != nil && r.now.After(pod.DeletionTimestamp.Add(overdue))
}

// blocks says why the pod keeps its node, "" when it can be moved as far as that is seen from the pod alone.
func (r *drainRules) blocks(pod *corev1.Pod) string {
	switch pod.Annotations[safeToEvict] {
	case "true":
		return ""
	case "false":
		return r.because(pod, "is annotated %s=false", safeToEvict)
	}
	owner := metav1.GetControllerOfNoCopy(pod)
	switch {
	case owner == nil:
		return r.because(pod, "has no controller that would replace it")
	case r.SkipNodesWithCustomControllerPods && !slices.Contains(builtin, owner.Kind):
		return r.because(pod, "is controlled by a %s, which is not known to replace it", owner.Kind)
	case owner.Kind != "Job" && r.replicas[owner.UID] < r.MinReplicaCount:
		return r.because(pod, "is one of %d replicas, fewer than %d", r.replicas[owner.UID], r.MinReplicaCount)
	case r.SkipNodesWithSystemPods && pod.Namespace == metav1.NamespaceSystem && len(r.budgets.of(pod)) == 0:
		return r.because(pod, "is in kube-system and has no PodDisruptionBudget")
	}
	if volume := localVolume(pod); r.SkipNodesWithLocalStorage && volume != "" {
		return r.because(pod, "has local storage in volume %s", volume)
	}
	return ""
}

func (r *drainRules) because(pod *corev1.Pod, format string, args ...any) string {
	return fmt.Sprintf("pod %s/%s "+format, append([]any{pod.Namespace, pod.Name}, args...)...)
}

// localVolume names a volume whose content is lost with the node, "" when there is none or the user does not mind.
func localVolume(pod *corev1.Pod) string {
	given := strings.Split(pod.Annotations[safeToEvictLocalVolumes], ",")
	for i := range given {
		given[i] = strings.TrimSpace(given[i])
	}
	for _, v := range pod.Spec.Volumes {
		local := v.HostPath != nil || v.EmptyDir != nil && v.EmptyDir.Medium != corev1.StorageMediumMemory
		if local && !slices.Contains(given, v.Name) {
			return v.Name
		}
	}
	return ""
}
