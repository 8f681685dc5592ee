package ccm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	controllersmetrics "k8s.io/component-base/metrics/prometheus/controllers"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/testkube"
)

// TestServices runs the service controller against a cloud: from a Service to its address, a hundred nodes at once, and back to nothing.
func TestServices(t *testing.T) {
	cloud := mgctest.New(t)
	vpc, _ := cloud.DefaultVPC()
	if _, err := cloud.Client(t).LoadBalancer.Create(t.Context(), mgc.LoadBalancerCreate{Name: "mke-" + clusterID + "-api", Visibility: mgc.VisibilityExternal, VPCID: vpc.ID,
		Listeners: []mgc.ListenerCreate{{Name: "api", BackendName: "api"}}, Backends: []mgc.BackendCreate{{Name: "api"}}}); err != nil {
		t.Fatal(err)
	}
	client := testkube.NewClientset()
	startServices(t, cloud, client)
	addNodes := func(n int) {
		for range n {
			vm := cloud.AddInstance(fmt.Sprint("node-", len(cloud.Instances())), "br-se1-a", "BV2-4-40", label)
			if _, err := client.CoreV1().Nodes().Create(t.Context(), node(vm.Name, "magalu://br-se1-a/"+vm.ID), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	targets := func() int {
		for _, lb := range cloud.LoadBalancers() {
			if strings.HasSuffix(lb.Description, " service=default/web") {
				return len(lb.Backends[0].Targets)
			}
		}
		return -1
	}
	services := client.CoreV1().Services("default")
	if _, err := services.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "u-1"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080, Protocol: corev1.ProtocolTCP}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	soon(t, "the Service has an address", func() error {
		svc, err := services.Get(t.Context(), "web", metav1.GetOptions{})
		if err == nil && len(svc.Status.LoadBalancer.Ingress) == 0 {
			err = errors.New("none")
		}
		return err
	})
	begun := time.Now()
	addNodes(100)
	most := 2 + int(time.Since(begun)/nodesPeriod) // nodes that come while a pass is under way make another one
	soon(t, "all nodes are targets", func() error {
		if n := targets(); n != 100 {
			return fmt.Errorf("%d targets", n)
		}
		return nil
	})
	if n := cloud.Count(http.MethodPut, "targets$"); n > most {
		t.Errorf("%d changes for 100 nodes", n)
	}
	soon(t, "the idle cluster makes no calls", func() error {
		cloud.ResetCalls()
		time.Sleep(2 * nodesPeriod)
		if calls := cloud.Calls(); len(calls) > 0 {
			return fmt.Errorf("it calls %v", calls)
		}
		return nil
	})
	now := metav1.Now()
	svc, err := services.Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	svc.DeletionTimestamp = &now // what the API server does while there is a finalizer
	if _, err := services.Update(t.Context(), svc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	soon(t, "the load balancer is gone and the Service may go", func() error {
		svc, err := services.Get(t.Context(), "web", metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && len(svc.Finalizers) == 0 && targets() < 0 {
			return nil
		}
		return fmt.Errorf("%d targets, %w", targets(), err)
	})
}

func startServices(t *testing.T, cloud *mgctest.Cloud, client *fake.Clientset) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "api-key"), []byte(mgctest.TenantKey), 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{ClusterID: clusterID, CloudEndpoint: cloud.Endpoint(), CredentialsDir: dir}
	provider, err := newProvider(o)
	if err != nil {
		t.Fatal(err)
	}
	balancers, err := newLoadBalancers(o)
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	c, err := newServiceController(client, factory, withLoadBalancers{provider, balancers})
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	go c.Run(t.Context(), serviceWorkers, controllersmetrics.NewControllerManagerMetrics("test"))
}

func soon(t *testing.T, what string, condition func() error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 20*time.Second, true, func(context.Context) (bool, error) {
		last = condition()
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("%s: %v", what, last)
	}
}
