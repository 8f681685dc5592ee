package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/test/bench/benchsite"
)

const (
	poolLabel = "example.com/pool" // of nodes, and of the Pods that want them
	wanted    = 2                  // Pods, each on a node of its own

	// Marks that both ways have.
	markVMs   = "VMs run"
	markReady = "Nodes Ready"
	markPods  = "Pods Running"
)

// ask makes the Pods, which only nodes with this label take.
func (s *site) ask(ctx context.Context, pool string) error {
	for i := range wanted {
		pod := s.Pod(fmt.Sprintf("%s-%d", pool, i), "", "")
		pod.Labels = map[string]string{poolLabel: pool}
		pod.Spec.NodeSelector, pod.Spec.Tolerations = pod.Labels, nil
		pod.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: pod.Labels},
			}},
		}}
		if _, err := s.Kube.CoreV1().Pods(s.Namespace).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// forget deletes the Pods.
func (s *site) forget(ctx context.Context, pool string) error {
	return s.Kube.CoreV1().Pods(s.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, labelled(pool))
}

// pods counts those of which this is true.
func (s *site) pods(ctx context.Context, pool string, is func(*corev1.Pod) bool) (n int, err error) {
	list, err := s.Kube.CoreV1().Pods(s.Namespace).List(ctx, labelled(pool))
	if err != nil {
		return 0, err
	}
	for i := range list.Items {
		if is(&list.Items[i]) {
			n++
		}
	}
	return n, nil
}

func running(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }

// refused says that the scheduler has tried.
func refused(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return true
		}
	}
	return false
}

// ready counts the nodes with the label that are Ready, and all of them.
func (s *site) ready(ctx context.Context, pool string) (ready, all int, err error) {
	list, err := s.Kube.CoreV1().Nodes().List(ctx, labelled(pool))
	if err != nil {
		return 0, 0, err
	}
	for _, node := range list.Items {
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue {
				ready++
			}
		}
	}
	return ready, len(list.Items), nil
}

func labelled(pool string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: poolLabel + "=" + pool}
}

// step is something that happens after the one before it.
type step struct {
	mark string
	done func(context.Context) (bool, error)
}

// arrivals are the last steps of both ways.
func (s *site) arrivals(pool string) []step {
	return []step{
		{markReady, func(ctx context.Context) (bool, error) {
			n, _, err := s.ready(ctx, pool)
			return n == wanted, err
		}},
		{markPods, func(ctx context.Context) (bool, error) {
			n, err := s.pods(ctx, pool, running)
			return n == wanted, err
		}},
	}
}

// follow marks each step as it happens, with a look each 50 ms.
func follow(ctx context.Context, t *benchsite.Timeline, steps []step) error {
	for _, step := range steps {
		if err := benchsite.UntilEvery(ctx, 50*time.Millisecond, step.mark, step.done); err != nil {
			return err
		}
		t.Mark(step.mark)
	}
	return nil
}
