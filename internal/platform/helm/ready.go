package helm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

const (
	pollEvery = 300 * time.Millisecond
	selector  = "app.kubernetes.io/part-of=mke"
	nameLabel = "app.kubernetes.io/name"
)

// WaitReady waits until every part of the platform is ready and of the newest version, or ctx ends.
func WaitReady(ctx context.Context, client kubernetes.Interface, progress Progress) error {
	return waitReady(ctx, client, progress)
}

// waitReady returns when every Deployment and StatefulSet of the platform runs its newest version, or with what is
// missing when ctx ends.
func waitReady(ctx context.Context, client kubernetes.Interface, progress Progress) error {
	var missing string
	err := wait.PollUntilContextCancel(ctx, pollEvery, true, func(ctx context.Context) (bool, error) {
		waiting, total, err := notReady(ctx, client)
		if err != nil {
			if !transient(err) {
				return false, err
			}
			if ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
				missing = err.Error()
				progress("the management cluster does not answer: %v", err)
			}
			return false, nil
		}
		missing = strings.Join(waiting, ", ")
		if len(waiting) > 0 {
			progress("%d of %d parts ready, waiting for %s", total-len(waiting), total, missing)
		}
		return len(waiting) == 0, nil
	})
	if err != nil && ctx.Err() != nil && missing != "" {
		return fmt.Errorf("the platform did not become ready, see kubectl --namespace %s describe pods: %s: %w", Namespace, missing, err)
	}
	return err
}

// notReady lists the parts that are not ready, each with the reason where one is known, and counts all parts.
func notReady(ctx context.Context, client kubernetes.Interface) (waiting []string, total int, err error) {
	opts := metav1.ListOptions{LabelSelector: selector}
	deployments, err := client.AppsV1().Deployments(Namespace).List(ctx, opts)
	if err != nil {
		return nil, 0, err
	}
	sets, err := client.AppsV1().StatefulSets(Namespace).List(ctx, opts)
	if err != nil {
		return nil, 0, err
	}
	for i := range sets.Items {
		if s := &sets.Items[i]; !statefulSetReady(s) {
			waiting = append(waiting, s.Name)
		}
	}
	for i := range deployments.Items {
		if d := &deployments.Items[i]; !deploymentReady(d) {
			waiting = append(waiting, d.Name)
		}
	}
	total = len(sets.Items) + len(deployments.Items)
	if len(waiting) == 0 {
		return nil, total, nil
	}
	pods, err := client.CoreV1().Pods(Namespace).List(ctx, opts)
	if err != nil {
		return nil, 0, err
	}
	for i, name := range waiting {
		if reason := reasonFor(name, pods.Items); reason != "" {
			waiting[i] = fmt.Sprintf("%s (%s)", name, reason)
		}
	}
	return waiting, total, nil
}

func deploymentReady(d *appsv1.Deployment) bool {
	want := ptr.Deref(d.Spec.Replicas, 1)
	return d.Status.ObservedGeneration >= d.Generation && d.Status.UpdatedReplicas >= want &&
		d.Status.AvailableReplicas >= want && d.Status.Replicas == d.Status.UpdatedReplicas
}

func statefulSetReady(s *appsv1.StatefulSet) bool {
	want := ptr.Deref(s.Spec.Replicas, 1)
	return s.Status.ObservedGeneration >= s.Generation && s.Status.ReadyReplicas >= want &&
		s.Status.UpdatedReplicas >= want
}

// reasonFor says in a few words what keeps the pods of a part from running.
func reasonFor(name string, pods []corev1.Pod) string {
	for _, p := range pods {
		if p.Labels[nameLabel] != name {
			continue
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return "not scheduled: " + c.Message
			}
		}
		for _, c := range p.Status.ContainerStatuses {
			if t := c.LastTerminationState.Terminated; t != nil && !c.Ready {
				return fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode)
			}
			if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
				return w.Reason
			}
		}
	}
	return ""
}
