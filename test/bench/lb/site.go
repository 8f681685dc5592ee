package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/test/bench/benchsite"
)

const (
	name  = "bench"
	image = "docker.io/library/nginx:latest"
)

var selector = map[string]string{"app": name}

// site is the cluster that is measured.
type site struct {
	*benchsite.Site
	cloud *mgc.Client
	netns string // of the VPC's router, from where private addresses can be reached
}

// openSite finds a running cluster in the region that is up.
func openSite(ctx context.Context, bin, data, cluster string) (*site, error) {
	region, err := benchsite.OpenRegion(ctx, bin, data)
	if err != nil {
		return nil, err
	}
	s := &site{cloud: region.Cloud}
	if s.Site, err = benchsite.Open(ctx, bin, data, cluster, "bench-lb"); err != nil {
		return nil, err
	}
	if err := s.findNetns(ctx); err != nil {
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// findNetns finds the router of the cluster's VPC by the API's load balancer.
func (s *site) findNetns(ctx context.Context) error {
	all, err := s.cloud.LoadBalancer.List(ctx)
	if err != nil {
		return err
	}
	for _, lb := range all {
		if lb.Name == "mke-"+s.ClusterID+"-api" {
			s.netns = "/run/netns/mke-vpc-" + lb.VPCID[:8]
			_, err := os.Stat(s.netns)
			return err
		}
	}
	return errors.New("the cluster has no API load balancer")
}

func (s *site) setUp(ctx context.Context) error {
	_, err := s.Kube.AppsV1().Deployments(s.Namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: selector},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent}}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return benchsite.Until(ctx, "nginx runs", func(ctx context.Context) (bool, error) {
		d, err := s.Kube.AppsV1().Deployments(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas > 0, err
	})
}

// round makes the Service, measures, and removes it.
func (s *site) round(ctx context.Context, connections int, load time.Duration) (m measured, err error) {
	services := s.Kube.CoreV1().Services(s.Namespace)
	begun := time.Now()
	svc, err := services.Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: selector, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx))) }()
	err = benchsite.Until(ctx, "the Service has an address", func(ctx context.Context) (bool, error) {
		svc, err = services.Get(ctx, name, metav1.GetOptions{})
		return err == nil && len(svc.Status.LoadBalancer.Ingress) > 0, err
	})
	if err != nil {
		return m, err
	}
	m.status = time.Since(begun)
	balanced := func(ctx context.Context, _ int) (net.Conn, error) {
		return dial(ctx, net.JoinHostPort(svc.Status.LoadBalancer.Ingress[0].IP, "80"))
	}
	err = benchsite.Until(ctx, "the load balancer answers", func(ctx context.Context) (bool, error) {
		_, err := drive(ctx, 1, time.Millisecond, balanced)
		return err == nil, err
	})
	if err != nil {
		return m, err
	}
	m.answered = time.Since(begun)
	ports, err := s.nodePorts(ctx, svc)
	if err != nil {
		return m, err
	}
	straight := func(ctx context.Context, n int) (conn net.Conn, err error) {
		err = dataplane.Inside(s.netns, func() (err error) {
			conn, err = dial(ctx, ports[n%len(ports)])
			return err
		})
		return conn, err
	}
	if m.floor, err = drive(ctx, connections, load, straight); err != nil {
		return m, fmt.Errorf("node ports: %w", err)
	}
	if m.balanced, err = drive(ctx, connections, load, balanced); err != nil {
		return m, fmt.Errorf("load balancer: %w", err)
	}
	return m, nil
}

// nodePorts are the addresses to which the load balancer connects.
func (s *site) nodePorts(ctx context.Context, svc *corev1.Service) (addresses []string, err error) {
	nodes, err := s.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "!" + corev1.LabelNodeExcludeBalancers})
	if err != nil {
		return nil, err
	}
	port := strconv.Itoa(int(svc.Spec.Ports[0].NodePort))
	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				addresses = append(addresses, net.JoinHostPort(a.Address, port))
			}
		}
	}
	if len(addresses) == 0 {
		return nil, errors.New("the cluster has no worker")
	}
	return addresses, nil
}

func (s *site) remove(ctx context.Context) error {
	services := s.Kube.CoreV1().Services(s.Namespace)
	if err := services.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return benchsite.Until(ctx, "the Service is gone", func(ctx context.Context) (bool, error) {
		_, err := services.Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", address)
}
