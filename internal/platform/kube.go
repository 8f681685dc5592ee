package platform

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"magalu.cloud/mke/internal/progress"
)

func clientset(kubeconfig []byte) (*kubernetes.Clientset, error) {
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("cannot use this kubeconfig: %w", err)
	}
	config.Timeout = 10 * time.Second
	return kubernetes.NewForConfig(config)
}

// waitAPIServer waits until the API server behind kubeconfig says that it is ready.
func waitAPIServer(ctx context.Context, kubeconfig []byte) error {
	kube, err := clientset(kubeconfig)
	if err != nil {
		return err
	}
	var last error
	err = poll(ctx, 200*time.Millisecond, 4*time.Minute, func() (bool, error) {
		_, last = kube.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return last == nil, nil
	})
	if errors.Is(err, errPollTimeout) {
		return fmt.Errorf("the API server of the management cluster does not answer: %w", last)
	}
	return err
}

// adoptManagementCluster uses a Kubernetes cluster that somebody else runs. Its nodes must reach CloudAddress.
func (r *region) adoptManagementCluster(ctx context.Context, ph *progress.Phase) error {
	var err error
	if r.kubeconfig, err = os.ReadFile(r.ManagementKubeconfig); err != nil {
		return fmt.Errorf("cannot read --management-kubeconfig: %w", err)
	}
	if err := waitAPIServer(ctx, r.kubeconfig); err != nil {
		return err
	}
	kube, err := clientset(r.kubeconfig)
	if err != nil {
		return err
	}
	nodes, err := kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range nodes.Items {
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
				r.endpoint = fmt.Sprintf("https://%s:%d", a.Address, gatewayNodePort)
				r.cidrs = append(r.cidrs, a.Address+"/32")
			}
		}
	}
	if r.endpoint == "" {
		return errors.New("the management cluster has no node with an address")
	}
	ph.Detail("the gateway will answer at %s", r.endpoint)
	return writeFile(r.paths.ManagementKubeconfig(), r.kubeconfig, 0o600)
}
