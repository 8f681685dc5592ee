package autoscaler

import (
	"context"
	"slices"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/retry"
)

// Taints of nodes that go or may go soon, as upstream names them.
const (
	toBeDeletedTaint = "ToBeDeletedByClusterAutoscaler"
	candidateTaint   = "DeletionCandidateOfClusterAutoscaler"
)

func hasTaint(n *corev1.Node, key string) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

// addTaint puts a taint with the time as its value on a node that lacks it.
func addTaint(ctx context.Context, c kubernetes.Interface, node, key string, effect corev1.TaintEffect, now time.Time) error {
	return updateNode(ctx, c, node, func(n *corev1.Node) bool {
		if hasTaint(n, key) {
			return false
		}
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Value: strconv.FormatInt(now.Unix(), 10), Effect: effect})
		return true
	})
}

// removeTaints takes taints away; a node that is gone has none.
func removeTaints(ctx context.Context, c kubernetes.Interface, node string, keys ...string) error {
	err := updateNode(ctx, c, node, func(n *corev1.Node) bool {
		before := len(n.Spec.Taints)
		n.Spec.Taints = slices.DeleteFunc(n.Spec.Taints, func(t corev1.Taint) bool { return slices.Contains(keys, t.Key) })
		return len(n.Spec.Taints) != before
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func updateNode(ctx context.Context, c kubernetes.Interface, name string, change func(*corev1.Node) bool) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		n, err := c.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil || !change(n) {
			return err
		}
		_, err = c.CoreV1().Nodes().Update(ctx, n, metav1.UpdateOptions{})
		return err
	})
}
