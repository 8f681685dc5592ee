package main

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// loadLabel is on the pods that are counted, and on their namespaces.
const loadLabel = "example.com/load"

// podsPerDeployment is as many as real ones have, each in a namespace of its own: the Deployment controller looks at all pods of a namespace,
// and the scheduler at those beside a new one, for each that changes.
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
	labels := map[string]string{"app": name, loadLabel: "true"}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{loadLabel: "true"}}}
	if _, err := s.kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
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
						corev1.ResourceCPU: s.podCPU(), corev1.ResourceMemory: resource.MustParse("32Mi"),
					}}}},
				},
			},
		},
	}
	_, err := s.kube.AppsV1().Deployments(name).Create(ctx, d, metav1.CreateOptions{})
	return err
}

// podCPU is such that a node, of whose CPU its DaemonSets ask less than a tenth, is full with as many pods as it is to have.
func (s *site) podCPU() resource.Quantity {
	return *resource.NewMilliQuantity(int64(900*s.flavor.VCPU/s.pods), resource.DecimalSI)
}

// undeploy deletes the Deployments; the namespaces stay until the cluster goes.
func (s *site) undeploy(ctx context.Context) error {
	namespaces, err := s.kube.CoreV1().Namespaces().List(ctx, metav1.ListOptions{LabelSelector: loadLabel})
	if err != nil {
		return err
	}
	background := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}
	for _, ns := range namespaces.Items {
		if err := s.kube.AppsV1().Deployments(ns.Name).DeleteCollection(ctx, background, metav1.ListOptions{}); err != nil {
			return err
		}
	}
	return nil
}
