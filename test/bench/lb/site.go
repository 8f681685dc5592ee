package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/mgc"
)

const (
	namespace = "bench-lb"
	name      = "bench"
	image     = "docker.io/library/nginx:latest"
	pollEvery = 20 * time.Millisecond
	waitLimit = 2 * time.Minute
)

var selector = map[string]string{"app": name}

// site is the cluster that is measured.
type site struct {
	kube  *kubernetes.Clientset
	cloud *mgc.Client
	netns string // of the VPC's router, from where private addresses can be reached
}

// openSite finds a running cluster in the region that is up.
func openSite(ctx context.Context, bin, data, cluster string) (*site, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(bin, "mke"), "status", "--data-dir", data, "-o", "json").Output()
	if err != nil {
		return nil, fmt.Errorf("mke status: %w; start a region first: make up", err)
	}
	var status struct {
		Region     string `json:"region"`
		CAFile     string `json:"ca_file"`
		APIKeyFile string `json:"api_key_file"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, err
	}
	key, err := os.ReadFile(status.APIKeyFile)
	if err != nil {
		return nil, err
	}
	s := &site{}
	if s.cloud, err = mgc.New(mgc.Config{Endpoint: "https://198.18.0.1:8443/" + status.Region, APIKey: strings.TrimSpace(string(key)), CAFile: status.CAFile}); err != nil {
		return nil, err
	}
	id, err := s.connect(ctx, filepath.Join(bin, "mgc"), filepath.Join(data, "mgc"), cluster)
	if err != nil {
		return nil, err
	}
	return s, s.findNetns(ctx, id)
}

// connect takes the cluster of that name, or the first one, and returns its id.
func (s *site) connect(ctx context.Context, mgcPath, configDir, cluster string) (id string, err error) {
	run := func(args ...string) ([]byte, error) {
		cmd := exec.CommandContext(ctx, mgcPath, append([]string{"kubernetes", "cluster"}, args...)...)
		cmd.Env = append(os.Environ(), "MGC_CONFIG_DIR="+configDir)
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("mgc %s: %w", args[0], err)
		}
		return out, nil
	}
	out, err := run("list", "-o", "json", "--raw")
	if err != nil {
		return "", err
	}
	var list struct {
		Results []struct {
			ID, Name string
			Status   struct{ State string }
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return "", err
	}
	for _, c := range list.Results {
		if (cluster != "" && c.Name != cluster) || c.Status.State != "Running" {
			continue
		}
		kubeconfig, err := run("kubeconfig", c.ID, "--raw")
		if err != nil {
			return "", err
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
		if err != nil {
			return "", err
		}
		config.QPS, config.Burst = 200, 400
		s.kube, err = kubernetes.NewForConfig(config)
		fmt.Printf("cluster %s\n", c.Name)
		return c.ID, err
	}
	return "", errors.New("the region has no such cluster in the state Running")
}

// findNetns finds the router of the cluster's VPC by the API's load balancer.
func (s *site) findNetns(ctx context.Context, clusterID string) error {
	all, err := s.cloud.LoadBalancer.List(ctx)
	if err != nil {
		return err
	}
	for _, lb := range all {
		if lb.Name == "mke-"+clusterID+"-api" {
			s.netns = "/run/netns/mke-vpc-" + lb.VPCID[:8]
			_, err := os.Stat(s.netns)
			return err
		}
	}
	return errors.New("the cluster has no API load balancer")
}

func (s *site) setUp(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := s.kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return err
	}
	_, err := s.kube.AppsV1().Deployments(namespace).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: selector},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: name, Image: image, ImagePullPolicy: corev1.PullIfNotPresent}}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return until(ctx, "nginx runs", func(ctx context.Context) (bool, error) {
		d, err := s.kube.AppsV1().Deployments(namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas > 0, err
	})
}

func (s *site) tearDown(ctx context.Context) error {
	namespaces := s.kube.CoreV1().Namespaces()
	if err := namespaces.Delete(ctx, namespace, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return until(ctx, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := namespaces.Get(ctx, namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
}

// round makes the Service, measures, and removes it.
func (s *site) round(ctx context.Context, connections int, load time.Duration) (m measured, err error) {
	services := s.kube.CoreV1().Services(namespace)
	begun := time.Now()
	svc, err := services.Create(ctx, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Selector: selector, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, s.remove(context.WithoutCancel(ctx))) }()
	err = until(ctx, "the Service has an address", func(ctx context.Context) (bool, error) {
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
	err = until(ctx, "the load balancer answers", func(ctx context.Context) (bool, error) {
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
	nodes, err := s.kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: "!" + corev1.LabelNodeExcludeBalancers})
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
	services := s.kube.CoreV1().Services(namespace)
	if err := services.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return err
	}
	return until(ctx, "the Service is gone", func(ctx context.Context) (bool, error) {
		_, err := services.Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", address)
}

// until asks until done; errors on the way are only told when time is up.
func until(ctx context.Context, what string, done func(context.Context) (bool, error)) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollEvery, waitLimit, true, func(ctx context.Context) (bool, error) {
		ok, err := done(ctx)
		last = err
		return ok, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until %s: %w (last: %v)", what, err, last)
	}
	return nil
}
