package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"magalu.cloud/mke/test/bench/benchsite"
)

const namespace = "scale"

// run goes up, fills, empties and goes down, and prints what it took.
func (s *site) run(ctx context.Context, w io.Writer) error {
	namespaces := s.kube.CoreV1().Namespaces()
	_, err := namespaces.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	v := watch(ctx, s)
	before, calls := processes(), readCalls(ctx, s)
	begin := time.Now()
	var results []string
	result := func(format string, args ...any) {
		results = append(results, "RESULT scale "+fmt.Sprintf(format, args...))
	}
	defer func() {
		for _, line := range results {
			fmt.Fprintln(w, line)
		}
		printProcesses(w, before, processes(), time.Since(begin))
		readCalls(context.WithoutCancel(ctx), s).print(w, calls)
	}()

	nodes := slices.Max(s.steps)
	pods := nodes * s.pods
	if s.autoscale {
		if err := s.deploy(ctx, pods); err != nil {
			return err
		}
		took, err := v.until(ctx, s, "up, by the autoscaler", func(c counts) bool { return c.running == pods })
		result("way=autoscaler nodes=%d pods=%d up_s=%.1f", v.counts().nodes, pods, took.Seconds())
		if err != nil {
			return err
		}
	} else {
		from := v.counts().ready
		for _, n := range s.steps {
			if err := s.resize(ctx, n); err != nil {
				return err
			}
			took, err := v.until(ctx, s, fmt.Sprintf("%d to %d nodes", from, n), func(c counts) bool { return c.nodes == n && c.ready == n })
			ready := v.counts().ready
			result("way=resize from=%d nodes=%d ready=%d up_s=%.1f nodes_per_s=%.1f", from, n, ready, took.Seconds(), float64(ready-from)/took.Seconds())
			if err != nil {
				return err
			}
			from = n
		}
		if err := s.deploy(ctx, pods); err != nil {
			return err
		}
		took, err := v.until(ctx, s, fmt.Sprintf("%d pods", pods), func(c counts) bool { return c.running == pods })
		result("nodes=%d pods=%d pods_s=%.1f", nodes, v.counts().running, took.Seconds())
		if err != nil {
			return err
		}
	}
	background := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}
	if err := s.kube.AppsV1().Deployments(namespace).DeleteCollection(ctx, background, metav1.ListOptions{}); err != nil {
		return err
	}
	took, err := v.until(ctx, s, "pods go", func(c counts) bool { return c.pods == 0 })
	result("nodes=%d pods=%d pods_gone_s=%.1f", nodes, pods, took.Seconds())
	if err != nil {
		return err
	}
	if err := s.empty(ctx); err != nil {
		return err
	}
	took, err = v.until(ctx, s, "down", func(c counts) bool { return c.nodes == 0 })
	result("nodes=%d left=%d down_s=%.1f", nodes, v.counts().nodes, took.Seconds())
	if err != nil {
		return err
	}
	return benchsite.Until(ctx, "the machines are gone", func(ctx context.Context) (bool, error) {
		return s.machines(ctx) == 0, nil
	})
}

// podsPerDeployment is as many as real ones have: their controller looks at all of them for each that changes.
const podsPerDeployment = 1000

// deploy makes Deployments of n pods in all that only the pool's nodes take.
func (s *site) deploy(ctx context.Context, n int) error {
	for i := 0; n > 0; i++ {
		if err := s.deployOne(ctx, fmt.Sprintf("load-%d", i), min(n, podsPerDeployment)); err != nil {
			return err
		}
		n -= podsPerDeployment
	}
	return nil
}

func (s *site) deployOne(ctx context.Context, name string, n int) error {
	labels := map[string]string{"app": name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(n)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector:                  map[string]string{"example.com/pool": poolName},
					Tolerations:                   []corev1.Toleration{{Key: "example.com/hollow", Operator: corev1.TolerationOpExists}},
					TerminationGracePeriodSeconds: ptr.To[int64](0),
					AutomountServiceAccountToken:  ptr.To(false),
					Containers: []corev1.Container{{Name: "load", Image: "load", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
						corev1.ResourceCPU: resource.MustParse("150m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
					}}}},
				},
			},
		},
	}
	_, err := s.kube.AppsV1().Deployments(namespace).Create(ctx, d, metav1.CreateOptions{})
	return err
}
