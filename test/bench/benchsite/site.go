package benchsite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
)

const image = "docker.io/library/busybox:latest"

// Site is a namespace of its own in a running cluster.
type Site struct {
	Kube      *kubernetes.Clientset
	Config    *rest.Config // of Kube
	ClusterID string
	Namespace string
}

// Open makes the namespace in the cluster of that name, or in the first one that runs.
func Open(ctx context.Context, bin, data, cluster, namespace string) (*Site, error) {
	out, err := mgcKubernetes(ctx, bin, data, "cluster", "list", "-o", "json")
	if err != nil {
		return nil, fmt.Errorf("%w; start a region first: make up", err)
	}
	var list struct {
		Results []struct {
			ID, Name string
			Status   struct{ State string }
		}
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	for _, c := range list.Results {
		if (cluster != "" && c.Name != cluster) || c.Status.State != "Running" {
			continue
		}
		kubeconfig, err := mgcKubernetes(ctx, bin, data, "cluster", "kubeconfig", c.ID)
		if err != nil {
			return nil, err
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
		if err != nil {
			return nil, err
		}
		config.QPS, config.Burst = 400, 800
		fmt.Printf("cluster %s\n", c.Name)
		s := &Site{Config: config, ClusterID: c.ID, Namespace: namespace}
		if s.Kube, err = kubernetes.NewForConfig(config); err != nil {
			return nil, err
		}
		_, err = s.Kube.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}, metav1.CreateOptions{})
		return s, err
	}
	return nil, errors.New("the region has no such cluster in the state Running")
}

// Close removes the namespace with all that is in it.
func (s *Site) Close(ctx context.Context) error {
	namespaces := s.Kube.CoreV1().Namespaces()
	if err := namespaces.Delete(ctx, s.Namespace, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return Until(ctx, "the namespace is gone", func(ctx context.Context) (bool, error) {
		_, err := namespaces.Get(ctx, s.Namespace, metav1.GetOptions{})
		return apierrors.IsNotFound(err), err
	})
}

// Pod returns a Pod that sleeps; on a node if one is named, with a claim as /data if one is named.
func (s *Site) Pod(name, node, claim string) *corev1.Pod {
	container := corev1.Container{Name: "sleep", Image: image, ImagePullPolicy: corev1.PullIfNotPresent, Command: []string{"sleep", "100000"}}
	// By this the process is found on the host.
	container.Env = []corev1.EnvVar{{Name: "BENCH", Value: s.mark(name)}}
	spec := corev1.PodSpec{NodeName: node, TerminationGracePeriodSeconds: ptr.To[int64](0), Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}}}
	if claim != "" {
		container.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}}}}
	}
	spec.Containers = []corev1.Container{container}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: name}, Spec: spec}
}

func (s *Site) mark(pod string) string { return s.Namespace + "/" + pod }

// Running waits until the Pod runs.
func (s *Site) Running(ctx context.Context, name string) (pod *corev1.Pod, err error) {
	err = Until(ctx, "the Pod "+name+" runs", func(ctx context.Context) (bool, error) {
		pod, err = s.Kube.CoreV1().Pods(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		return err == nil && pod.Status.Phase == corev1.PodRunning, err
	})
	return pod, err
}

// Process returns the Pod's process as the host sees it; VMs are containers of the host.
func (s *Site) Process(pod string) (pid string, err error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return "", err
	}
	for _, dir := range dirs {
		environ, err := os.ReadFile(filepath.Join(dir, "environ"))
		if err == nil && slices.Contains(strings.Split(string(environ), "\x00"), "BENCH="+s.mark(pod)) {
			return filepath.Base(dir), nil
		}
	}
	return "", fmt.Errorf("the process of Pod %s is not on this host", pod)
}
