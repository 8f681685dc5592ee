package loadbalancer

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/flowcontrol"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

const (
	clusterID  = "5d3c1f0e-0000-4000-8000-00000000000b"
	serviceUID = "11111111-0000-4000-8000-000000000001"
	lbName     = "mke-5d3c1f0e-" + serviceUID
)

// world is a cloud with a cluster of two nodes in it.
type world struct {
	*testing.T
	cloud   *mgctest.Cloud
	client  *mgc.Client
	manager *Manager
	vpc     string
	nodes   []*corev1.Node
}

func newWorld(t *testing.T) *world {
	cloud := mgctest.New(t)
	w := &world{T: t, cloud: cloud, client: cloud.Client(t)}
	w.addNodes(2)
	vpc, _ := cloud.DefaultVPC()
	w.vpc = vpc.ID
	w.makeLB(mgc.LoadBalancerCreate{Name: "mke-" + clusterID + "-api", Description: markKey + clusterID, Visibility: mgc.VisibilityExternal})
	w.restart()
	cloud.ResetCalls()
	return w
}

// restart is a new process.
func (w *world) restart() {
	w.manager = NewManager(clusterID, func() (*mgc.Client, error) { return w.client, nil })
	w.manager.pollFirst = time.Millisecond
	w.manager.balancers.bucket = unlimited{w.manager.balancers.bucket}
}

func (w *world) addNodes(n int) {
	for range n {
		name := fmt.Sprintf("node-%d", len(w.nodes))
		vm := w.cloud.AddInstance(name, "br-se1-a", "BV2-4-40", markKey+clusterID)
		w.nodes = append(w.nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{ProviderID: "magalu://br-se1-a/" + vm.ID},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: vm.PrivateIPv4()}}}})
	}
}

// makeLB makes a load balancer by hand.
func (w *world) makeLB(in mgc.LoadBalancerCreate) string {
	w.Helper()
	in.VPCID = w.vpc
	in.Listeners = []mgc.ListenerCreate{{Name: "hand", BackendName: "hand", Protocol: "tcp", Port: 80}}
	in.Backends = []mgc.BackendCreate{{Name: "hand", HealthCheckName: "hand", BalanceAlgorithm: mgc.BalanceRoundRobin, TargetsType: mgc.TargetsInstance}}
	in.HealthChecks = []mgc.HealthCheck{{Name: "hand", Protocol: "tcp", Port: 80}}
	id, err := w.client.LoadBalancer.Create(w.Context(), in)
	if err != nil {
		w.Fatal(err)
	}
	for range w.cloud.Steps + 1 {
		if _, err := w.client.LoadBalancer.Get(w.Context(), id); err != nil {
			w.Fatal(err)
		}
	}
	return id
}

// services are the load balancers but that of the API.
func (w *world) services() []mgc.LoadBalancer {
	return slices.DeleteFunc(w.cloud.LoadBalancers(), func(lb mgc.LoadBalancer) bool { return strings.HasSuffix(lb.Name, "-api") })
}

func (w *world) one() mgc.LoadBalancer {
	w.Helper()
	all := w.services()
	if len(all) != 1 {
		w.Fatalf("%d load balancers, want 1: %+v", len(all), all)
	}
	return all[0]
}

func (w *world) ensure(svc *corev1.Service) *mgc.LoadBalancer {
	w.Helper()
	lb, err := w.manager.Ensure(w.Context(), svc, w.nodes)
	if err != nil {
		w.Fatal(err)
	}
	return lb
}

// until repeats a pass as the controller would, until it succeeds.
func (w *world) until(pass func() error) {
	w.Helper()
	var err error
	for range 20 {
		if err = pass(); err == nil {
			return
		}
		w.manager.balancers.paused = time.Time{}
	}
	w.Fatal(err)
}

type unlimited struct{ flowcontrol.RateLimiter }

func (unlimited) Wait(context.Context) error { return nil }

type edit func(*corev1.Service)

func service(edits ...edit) *corev1.Service {
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: types.UID(serviceUID), Annotations: map[string]string{}},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, NodePort: 30080}}}}
	for _, e := range edits {
		e(svc)
	}
	return svc
}

func annotate(name, value string) edit {
	return func(s *corev1.Service) { s.Annotations[name] = value }
}

func port(port, nodePort int32) edit {
	return func(s *corev1.Service) {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprint("p", port), Protocol: corev1.ProtocolTCP, Port: port, NodePort: nodePort})
	}
}

func ranges(cidrs ...string) edit {
	return func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = cidrs }
}

func local(s *corev1.Service) {
	s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 32100
}

// shape is what matters of a load balancer, in one line.
func shape(lb *mgc.LoadBalancer) string {
	var words []string
	for _, l := range lb.Listeners {
		for _, b := range lb.Backends {
			if b.ID == l.BackendID {
				node := 0
				for _, target := range b.Targets {
					node = target.Port
				}
				words = append(words, fmt.Sprintf("%d>%dx%d", l.Port, node, len(b.Targets)))
				for _, h := range lb.HealthChecks {
					if h.ID == b.HealthCheckID {
						words = append(words, fmt.Sprintf("%s:%d%s/%ds", h.Protocol, h.Port, h.Path, h.IntervalSeconds))
					}
				}
			}
		}
	}
	var from []string
	for _, a := range lb.ACLs {
		from = append(from, a.RemoteIPPrefix)
	}
	return strings.Join(append(words, fmt.Sprintf("acls=%v", from)), " ")
}
