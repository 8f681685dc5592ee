package platform

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/platform/helm"
)

const (
	apiDeployment = "mke-api"
	databasePod   = "mke-postgres-0"
	// kubeQPS is high: a backup reads everything there is.
	kubeQPS, kubeBurst = 100, 200
)

// installation is a platform that is installed in a management cluster. What it works with is read from there, so this serves a region on
// this machine as well as any other.
type installation struct {
	config    *rest.Config
	kube      client.Client
	clientset kubernetes.Interface
	api       *appsv1.Deployment
	region    string
}

func openInstallation(ctx context.Context, kubeconfig string) (*installation, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("cannot use the kubeconfig of the management cluster: %w", err)
	}
	config.QPS, config.Burst, config.UserAgent = kubeQPS, kubeBurst, "mke"
	i := &installation{config: config}
	if i.kube, err = client.New(config, client.Options{}); err != nil {
		return nil, fmt.Errorf("connect to the management cluster: %w", err)
	}
	if i.clientset, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if i.api, err = i.clientset.AppsV1().Deployments(helm.Namespace).Get(ctx, apiDeployment, metav1.GetOptions{}); err != nil {
		return nil, fmt.Errorf("find the platform in the management cluster: %w", err)
	}
	i.region = i.argument("--region")
	return i, nil
}

func (i *installation) container() *corev1.Container { return &i.api.Spec.Template.Spec.Containers[0] }

func (i *installation) argument(name string) string {
	for _, a := range i.container().Args {
		if value, ok := strings.CutPrefix(a, name+"="); ok {
			return value
		}
	}
	return ""
}

func (i *installation) secret(ctx context.Context, name, key string) (string, error) {
	s, err := i.clientset.CoreV1().Secrets(helm.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return string(s.Data[key]), nil
}

// database returns how to connect to mke-api's database, until stop is called.
func (i *installation) database(ctx context.Context) (config *pgx.ConnConfig, stop func(), err error) {
	url := ""
	for _, e := range i.container().Env {
		if e.Name == "DATABASE_URL" && e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			if url, err = i.secret(ctx, e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key); err != nil {
				return nil, nil, fmt.Errorf("read the URL of the database: %w", err)
			}
		}
	}
	if config, err = pgx.ParseConfig(url); err != nil || url == "" {
		return nil, nil, errors.New("mke-api's database URL is not valid") // the cause may hold the password
	}
	if !strings.HasPrefix(config.Host, "mke-postgres.") {
		return config, func() {}, nil
	}
	port, stop, err := i.forward(ctx, databasePod, 5432)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the database in the management cluster: %w", err)
	}
	config.Host, config.Port, config.Fallbacks = "127.0.0.1", port, nil
	return config, stop, nil
}

// forward makes a port of a pod reachable on a port of the loopback.
func (i *installation) forward(ctx context.Context, pod string, port int) (local uint16, stop func(), err error) {
	url := i.clientset.CoreV1().RESTClient().Post().Resource("pods").Namespace(helm.Namespace).Name(pod).SubResource("portforward").URL()
	dialer, err := portforward.NewSPDYOverWebsocketDialer(url, i.config)
	if err != nil {
		return 0, nil, err
	}
	ended, ready, failed := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, ended, ready, io.Discard, io.Discard)
	if err != nil {
		return 0, nil, err
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	stop = func() { close(ended) }
	select {
	case <-ready:
	case err := <-failed:
		return 0, nil, err
	case <-ctx.Done():
		stop()
		return 0, nil, ctx.Err()
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		return 0, nil, err
	}
	return ports[0].Local, stop, nil
}

// tenantClouds lists what tenants have in the cloud, with the platform's key.
type tenantClouds struct{ config mgc.Config }

func (i *installation) cloud(ctx context.Context) (*tenantClouds, error) {
	name := "mke-platform-api-key"
	for _, v := range i.api.Spec.Template.Spec.Volumes {
		if v.Name == "platform-api-key" && v.Secret != nil {
			name = v.Secret.SecretName
		}
	}
	key, err := i.secret(ctx, name, "api-key")
	if err != nil {
		return nil, fmt.Errorf("read the platform's API key: %w", err)
	}
	hc, err := i.cloudClient(ctx)
	if err != nil {
		return nil, err
	}
	return &tenantClouds{mgc.Config{Endpoint: i.argument("--cloud-endpoint"), APIKey: key, UserAgent: "mke", HTTPClient: hc}}, nil
}

// cloudClient trusts what mke-api trusts.
func (i *installation) cloudClient(ctx context.Context) (*http.Client, error) {
	if i.argument("--cloud-ca-file") == "" {
		return mgc.NewHTTPClient("")
	}
	ca, err := i.clientset.CoreV1().ConfigMaps(helm.Namespace).Get(ctx, "mke-cloud-ca", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp("", "mke-ca-*.crt")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	if _, err := file.WriteString(ca.Data["ca.crt"]); err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	return mgc.NewHTTPClient(file.Name())
}

func (t *tenantClouds) client(tenant string) (*mgc.Client, error) {
	config := t.config
	config.TenantID = tenant
	return mgc.New(config)
}

// Instances lists a tenant's instances.
func (t *tenantClouds) Instances(ctx context.Context, tenant string) ([]mgc.Instance, error) {
	c, err := t.client(tenant)
	if err != nil {
		return nil, err
	}
	return c.Compute.ListInstances(ctx, mgc.ListInstancesOptions{})
}

// LoadBalancers lists a tenant's load balancers.
func (t *tenantClouds) LoadBalancers(ctx context.Context, tenant string) ([]mgc.LoadBalancer, error) {
	c, err := t.client(tenant)
	if err != nil {
		return nil, err
	}
	return c.LoadBalancer.List(ctx)
}
