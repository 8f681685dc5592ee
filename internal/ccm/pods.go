package ccm

import (
	"context"
	"encoding/json"
	"errors"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

// podWorkers is how many Pods of a Node are worked on at the same time.
const podWorkers = 10

// eachPod calls do for all Pods of a Node. Only the API server's index knows them: a cache of all Pods would cost much memory for
// something that hardly ever happens.
func (h *health) eachPod(ctx context.Context, node *corev1.Node, do func(context.Context, *corev1.Pod) error) error {
	pods, err := h.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node.Name).String()})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var all error
	workqueue.ParallelizeUntil(ctx, podWorkers, len(pods.Items), func(n int) {
		if err := do(ctx, &pods.Items[n]); err != nil && !apierrors.IsNotFound(err) {
			mu.Lock()
			defer mu.Unlock()
			all = errors.Join(all, err)
		}
	})
	return all
}

// giveUp ends a Pod whose VM does not run, so that its owner makes another one elsewhere. Pods that are to stay on such Nodes, as
// DaemonSets', only stop being endpoints.
func (h *health) giveUp(ctx context.Context, pod *corev1.Pod) error {
	switch {
	case stays(pod):
		return h.markNotReady(ctx, pod)
	case finished(pod) && pod.DeletionTimestamp == nil:
		return nil
	case !finished(pod):
		if err := h.markFailed(ctx, pod); err != nil {
			return err
		}
	}
	return h.kill(ctx, pod)
}

func finished(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// stays is true for static Pods, which exist only on their Node, and for those that tolerate that it is out of service.
func stays(pod *corev1.Pod) bool {
	if _, static := pod.Annotations[corev1.MirrorPodAnnotationKey]; static {
		return true
	}
	for _, t := range pod.Spec.Tolerations {
		if t.TolerationSeconds == nil && t.ToleratesTaint(klog.Background(), &outOfService, false) {
			return true
		}
	}
	return false
}

// kill deletes a Pod without waiting for its kubelet.
func (h *health) kill(ctx context.Context, pod *corev1.Pod) error {
	return h.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name,
		metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0), Preconditions: &metav1.Preconditions{UID: &pod.UID}})
}

// markFailed says why, for those who count failures as Jobs do.
func (h *health) markFailed(ctx context.Context, pod *corev1.Pod) error {
	return h.patchPod(ctx, pod, corev1.PodFailed, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		Reason: "DeletionByCloudController", Message: "The Node's VM does not run"})
}

// markNotReady takes a Pod out of its Services. Its kubelet puts it back.
func (h *health) markNotReady(ctx context.Context, pod *corev1.Pod) error {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			return h.patchPod(ctx, pod, pod.Status.Phase, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionFalse,
				Reason: "NodeNotReady", Message: "The Node's VM does not run"})
		}
	}
	return nil
}

func (h *health) patchPod(ctx context.Context, pod *corev1.Pod, phase corev1.PodPhase, condition corev1.PodCondition) error {
	condition.LastTransitionTime = metav1.NewTime(h.now())
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID},
		"status":   map[string]any{"phase": phase, "conditions": []corev1.PodCondition{condition}},
	})
	if err != nil {
		return err
	}
	_, err = h.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
