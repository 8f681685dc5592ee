package loadbalancer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cloud-provider/api"

	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/mgctest"
)

func TestLife(t *testing.T) {
	w := newWorld(t)
	lb := w.ensure(service(port(443, 30443)))
	if lb.Name != lbName || lb.Description != "mke.cluster-id="+clusterID+" service=shop/web" || lb.VPCID != w.vpc {
		t.Errorf("load balancer %+v", lb)
	}
	if got := shape(lb); got != "80>30080x2 tcp:30080/2s 443>30443x2 tcp:30443/2s acls=[]" {
		t.Error(got)
	}
	s := status(lb).Ingress[0]
	if s.IP != lb.PublicIP.IPAddress || *s.IPMode != corev1.LoadBalancerIPModeProxy {
		t.Errorf("status %+v", s)
	}
	w.cloud.ResetCalls()
	w.ensure(service(port(443, 30443)))
	if n := len(w.cloud.Calls()); n > 1 {
		t.Errorf("%d calls for nothing: %v", n, w.cloud.Calls())
	}
	w.until(func() error { return w.manager.Delete(t.Context(), service()) })
	if left, ips := w.services(), w.cloud.PublicIPs(); len(left) != 0 || len(ips) != 1 {
		t.Errorf("left: %v, %v", left, ips)
	}
}

func TestChanges(t *testing.T) {
	only := func(e ...edit) *corev1.Service {
		return service(append([]edit{func(s *corev1.Service) { s.Spec.Ports = nil }}, e...)...)
	}
	for _, tt := range []struct {
		name          string
		before, after *corev1.Service
		want          string
	}{
		{"a port more", service(), service(port(81, 30081)), "80>30080x2 tcp:30080/2s 81>30081x2 tcp:30081/2s acls=[]"},
		{"a port less", service(port(81, 30081)), service(), "80>30080x2 tcp:30080/2s acls=[]"},
		{"another port", service(), only(port(8080, 30080)), "8080>30080x2 tcp:30080/2s acls=[]"},
		{"another node port", service(), only(port(80, 31111)), "80>31111x2 tcp:31111/2s acls=[]"},
		{"local", service(), service(local), "80>30080x2 http:32100/healthz/2s acls=[]"},
		{"not local any more", service(local), service(), "80>30080x2 tcp:30080/2s acls=[]"},
		{"ranges", service(), service(ranges("203.0.113.0/24")), "80>30080x2 tcp:30080/2s acls=[172.26.0.0/20 203.0.113.0/24]"},
		{"no ranges", service(ranges("203.0.113.0/24")), service(), "80>30080x2 tcp:30080/2s acls=[]"},
		{"all of them", service(), service(ranges("0.0.0.0/0")), "80>30080x2 tcp:30080/2s acls=[]"},
		{"slower checks", service(), service(annotate(AnnotationCheckInterval, "9")), "80>30080x2 tcp:30080/9s acls=[]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.cloud.Steps = 1
			w.ensure(tt.before)
			before := w.one()
			lb := w.ensure(tt.after)
			if got := shape(lb); got != tt.want || lb.ID != before.ID {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if len(lb.Backends) != len(lb.Listeners) || len(lb.HealthChecks) != len(lb.Listeners) {
				t.Errorf("parts are left over: %+v", lb)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	udp := func(s *corev1.Service) { s.Spec.Ports[0].Protocol = corev1.ProtocolUDP }
	noNodePort := func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 0 }
	ip := func(ip string) edit { return func(s *corev1.Service) { s.Spec.LoadBalancerIP = ip } }
	for _, tt := range []struct {
		name   string
		exists bool // a load balancer that was made before
		edit   edit
		text   string
	}{
		{"visibility", true, annotate(AnnotationVisibility, "public"), `annotation magalu.cloud/load-balancer-visibility: "public" is not one of: external, internal`},
		{"reclaim policy", true, annotate(AnnotationReclaimPolicy, "keep"), `annotation magalu.cloud/public-ip-reclaim-policy: "keep" is not one of: delete, retain`},
		{"interval", true, annotate(AnnotationCheckInterval, "2s"), `annotation magalu.cloud/health-check-interval-seconds: "2s" is not a whole number from 1 to 300`},
		{"UDP", true, udp, "port 80/UDP: Magalu Cloud's load balancers carry TCP only"},
		{"no node port", true, noNodePort, "spec.allocateLoadBalancerNodePorts must be true"},
		{"another visibility", true, annotate(AnnotationVisibility, "internal"), "the load balancer is external and cannot become internal; delete the Service"},
		{"another address", true, ip("198.18.0.77"), "cannot get 198.18.0.77; delete the Service"},
		{"unknown address", false, ip("198.18.0.77"), "the tenant has no public IP 198.18.0.77"},
		{"address of an internal one", false, func(s *corev1.Service) { annotate(AnnotationVisibility, "internal")(s); ip("172.26.0.9")(s) }, "cannot be chosen"},
		{"nothing to adopt", false, annotate(AnnotationAdopt, "mine"), `there is no load balancer "mine"`},
		{"adopt the API's", false, annotate(AnnotationAdopt, "mke-"+clusterID+"-api"), "belongs to a cluster or to another Service"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			before := "none"
			if tt.exists {
				before = shape(w.ensure(service()))
			}
			w.cloud.ResetCalls()
			_, err := w.manager.Ensure(t.Context(), service(tt.edit), w.nodes)
			var no *refusal
			if !errors.As(err, &no) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %q", err, tt.text)
			}
			for _, call := range w.cloud.Calls() {
				if call.Mutates() {
					t.Errorf("it called %v", call)
				}
			}
			if tt.exists {
				lb := w.one()
				if got := shape(&lb); got != before {
					t.Errorf("it changed to %s", got)
				}
			}
		})
	}
}

// TestNodesInOnePass: a hundred nodes that come cost one list of VMs and one change per port, also while the Service is not acceptable.
func TestNodesInOnePass(t *testing.T) {
	for _, svc := range []*corev1.Service{service(), service(annotate(AnnotationVisibility, "nonsense"))} {
		w := newWorld(t)
		w.ensure(service())
		w.addNodes(100)
		w.cloud.ResetCalls()
		_ = w.manager.UpdateTargets(t.Context(), svc, w.nodes)
		lb := w.one()
		if got := shape(&lb); !strings.HasPrefix(got, "80>30080x102 ") {
			t.Error(got)
		}
		if n, lists := w.cloud.Count("PUT", "targets$"), w.cloud.Count("GET", "instances$"); n != 1 || lists != 1 {
			t.Errorf("%d changes, %d lists of VMs", n, lists)
		}
		// A VM that is gone is no target; others stay.
		w.cloud.RemoveInstance(strings.TrimPrefix(w.nodes[0].Spec.ProviderID, "magalu://br-se1-a/"))
		w.manager.machines.begun = time.Time{} // a minute later
		_ = w.manager.UpdateTargets(t.Context(), svc, w.nodes)
		if lb := w.one(); !strings.HasPrefix(shape(&lb), "80>30080x101 ") {
			t.Error(shape(&lb))
		}
	}
}

// TestMachineThatHasJustGone: a list that still has it spoils one pass, not all until the list is old.
func TestMachineThatHasJustGone(t *testing.T) {
	w := newWorld(t)
	w.ensure(service())
	w.cloud.RemoveInstance(strings.TrimPrefix(w.nodes[0].Spec.ProviderID, "magalu://br-se1-a/"))
	more := service(port(8081, 30081))
	if _, err := w.manager.Ensure(t.Context(), more, w.nodes); !mgc.IsInvalid(err) {
		t.Fatalf("the cloud should refuse an interface that is gone: %v", err)
	}
	w.ensure(more)
	if lb := w.one(); !strings.Contains(shape(&lb), "8081>30081x1 ") {
		t.Error(shape(&lb))
	}
}

// TestPassesOfOneServiceFollowEachOther: the service controller has some for Nodes beside those for the Service.
func TestPassesOfOneServiceFollowEachOther(t *testing.T) {
	w := newWorld(t)
	var passes errgroup.Group
	for range 8 {
		passes.Go(func() error { return w.manager.UpdateTargets(t.Context(), service(), w.nodes) })
	}
	if err := passes.Wait(); err != nil {
		t.Error(err)
	}
	if n := w.cloud.Count("POST", "load-balancers$"); n != 1 {
		t.Errorf("%d load balancers were ordered", n)
	}
}

// TestNodesOfADeletedService: a change of Nodes that comes late makes no load balancer that nobody would ever delete.
func TestNodesOfADeletedService(t *testing.T) {
	w := newWorld(t)
	w.ensure(service())
	w.until(func() error { return w.manager.Delete(t.Context(), service()) })
	if err := w.manager.UpdateTargets(t.Context(), service(), w.nodes); err != nil {
		t.Error(err)
	}
	if left := w.services(); len(left) != 0 {
		t.Fatalf("a load balancer of a Service that is gone: %+v", left)
	}
	w.ensure(service()) // it has the type LoadBalancer again
	w.addNodes(1)
	if err := w.manager.UpdateTargets(t.Context(), service(), w.nodes); err != nil {
		t.Error(err)
	}
	if lb := w.one(); !strings.HasPrefix(shape(&lb), "80>30080x3 ") {
		t.Error(shape(&lb))
	}
}

func TestCannotTellChangesNothing(t *testing.T) {
	w := newWorld(t)
	before := shape(w.ensure(service()))
	for _, f := range []mgctest.Fault{{Status: 500}, {Status: 429}, {Status: 401}, {}, {Path: "instances", Status: 503}} {
		w.restart()
		remove := w.cloud.Inject(f)
		if err := w.manager.UpdateTargets(t.Context(), service(), w.nodes[:1]); err == nil {
			t.Errorf("%+v: no error", f)
		}
		if err := w.manager.Delete(t.Context(), service()); f.Path == "" && err == nil {
			t.Errorf("%+v: deleted without a call", f)
		}
		remove()
		if f.Path == "" {
			if lb := w.one(); shape(&lb) != before {
				t.Errorf("%+v: %s", f, shape(&lb))
			}
		}
	}
}

// TestLostAnswers: whatever call goes wrong, done or not, process restarted or not, there is one load balancer and nothing is left at the end.
func TestLostAnswers(t *testing.T) {
	for skip := range 14 {
		for _, done := range []bool{true, false} {
			for _, restart := range []bool{true, false} {
				t.Run(fmt.Sprintf("call %d done %v restart %v", skip, done, restart), func(t *testing.T) {
					w := newWorld(t)
					w.cloud.Steps = 1
					w.cloud.Inject(mgctest.Fault{Skip: skip, Times: 1, Status: 503, Done: done, MutatingOnly: true})
					again := func(pass func() error) {
						w.until(func() error {
							if restart {
								w.restart()
							}
							return pass()
						})
					}
					for _, svc := range []*corev1.Service{service(), service(port(81, 30081), ranges("203.0.113.0/24")), service(local)} {
						again(func() error { _, err := w.manager.Ensure(t.Context(), svc, w.nodes); return err })
						w.one()
					}
					if lb := w.one(); shape(&lb) != "80>30080x2 http:32100/healthz/2s acls=[]" {
						t.Error(shape(&lb))
					}
					again(func() error { return w.manager.Delete(t.Context(), service()) })
					if left, ips := w.services(), w.cloud.PublicIPs(); len(left) != 0 || len(ips) != 1 {
						t.Errorf("left: %v, %v", left, ips)
					}
				})
			}
		}
	}
}

func TestSecondOneGoes(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		w.makeLB(mgc.LoadBalancerCreate{Name: lbName, Description: markKey + clusterID, Visibility: mgc.VisibilityExternal})
	}
	second := w.services()[1]
	svc := service()
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: second.PublicIP.IPAddress}}
	if lb := w.ensure(svc); lb.ID != second.ID {
		t.Error("it kept the one whose address nobody knows")
	}
	w.until(func() error { return w.manager.Delete(t.Context(), svc) })
	if left := w.services(); len(left) != 0 {
		t.Error(left)
	}
}

func TestForeignLoadBalancerWithOurName(t *testing.T) {
	w := newWorld(t)
	w.makeLB(mgc.LoadBalancerCreate{Name: lbName, Description: markKey + "other", Visibility: mgc.VisibilityExternal})
	if _, err := w.manager.Ensure(t.Context(), service(), w.nodes); err == nil {
		t.Error("it was taken")
	}
	if err := w.manager.Delete(t.Context(), service()); err == nil {
		t.Error("it was deleted")
	}
	w.one()
}

func TestAdopt(t *testing.T) {
	for _, byName := range []bool{true, false} {
		w := newWorld(t)
		id := w.makeLB(mgc.LoadBalancerCreate{Name: "mine", Visibility: mgc.VisibilityExternal})
		reference := id
		if byName {
			reference = "mine"
		}
		svc := service(annotate(AnnotationAdopt, reference))
		lb := w.ensure(svc)
		if lb.ID != id || lb.Name != lbName || shape(lb) != "80>30080x2 tcp:30080/2s acls=[]" || len(lb.Backends) != 1 {
			t.Errorf("adopted %+v", lb)
		}
		w.ensure(svc)
		w.until(func() error { return w.manager.Delete(t.Context(), svc) })
		if left, ips := w.services(), w.cloud.PublicIPs(); len(left) != 0 || len(ips) != 2 {
			t.Errorf("left: %v, addresses %v", left, ips)
		}
	}
}

func TestPublicIPs(t *testing.T) {
	for _, tt := range []struct {
		name  string
		given bool
		edits []edit
		kept  bool
	}{
		{name: "new"},
		{name: "new, retained", edits: []edit{annotate(AnnotationReclaimPolicy, "retain")}, kept: true},
		{name: "new, not understood", edits: []edit{annotate(AnnotationReclaimPolicy, "keep it!")}, kept: true},
		{name: "given", given: true, kept: true},
		{name: "given, to delete", given: true, edits: []edit{annotate(AnnotationReclaimPolicy, "delete")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			ip := w.cloud.AddPublicIP("mine")
			svc := service()
			if tt.given {
				svc.Spec.LoadBalancerIP = ip.PublicIP
			}
			lb := w.ensure(svc)
			if tt.given && lb.PublicIP.ID != ip.ID {
				t.Error("it has another address")
			}
			for _, e := range tt.edits {
				e(svc)
			}
			if lb, err := w.manager.Ensure(t.Context(), svc, w.nodes); err == nil && strings.Contains(lb.Description, "public-ip=retain") != tt.kept {
				t.Errorf("description %q", lb.Description)
			}
			w.until(func() error { return w.manager.Delete(t.Context(), svc) })
			kept := slices.ContainsFunc(w.cloud.PublicIPs(), func(ip mgc.PublicIP) bool { return ip.ID == lb.PublicIP.ID })
			if kept != tt.kept {
				t.Errorf("kept %v", kept)
			}
		})
	}
}

func TestInternal(t *testing.T) {
	w := newWorld(t)
	lb := w.ensure(service(annotate(AnnotationVisibility, "internal")))
	if lb.PublicIP != nil || status(lb).Ingress[0].IP != lb.IPAddress || lb.IPAddress == "" {
		t.Errorf("%+v", lb)
	}
}

// TestDeletionWhileCreating: the Service goes before its load balancer is there.
func TestDeletionWhileCreating(t *testing.T) {
	w := newWorld(t)
	w.cloud.Steps = 1000
	w.manager.budget = 200 * time.Millisecond
	var wait *waiting
	if _, err := w.manager.Ensure(t.Context(), service(), w.nodes); !errors.As(err, &wait) {
		t.Fatal(err)
	}
	w.cloud.Steps = 2
	w.until(func() error { return w.manager.Delete(t.Context(), service()) })
	if left, ips := w.services(), w.cloud.PublicIPs(); len(left) != 0 || len(ips) != 1 {
		t.Errorf("left: %v, %v", left, ips)
	}
}

func TestFailedOneIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	first := w.ensure(service())
	w.cloud.FailLoadBalancer(first.ID, "no capacity")
	w.restart()
	if _, err := w.manager.Ensure(t.Context(), service(), w.nodes); err == nil || !strings.Contains(err.Error(), "no capacity") {
		t.Fatal(err)
	}
	w.until(func() error { _, err := w.manager.Ensure(t.Context(), service(), w.nodes); return err })
	if lb := w.one(); lb.ID == first.ID {
		t.Error("the failed one is still there")
	}
	// Not if people use its address.
	lb := w.one()
	w.cloud.FailLoadBalancer(lb.ID, "")
	w.restart()
	svc := service()
	svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: lb.PublicIP.IPAddress}}
	var no *refusal
	if _, err := w.manager.Ensure(t.Context(), svc, w.nodes); !errors.As(err, &no) {
		t.Error(err)
	}
	w.one()
}

func TestManyServicesShareTheList(t *testing.T) {
	w := newWorld(t)
	for range 50 {
		if _, err := w.manager.Exists(t.Context(), service()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.manager.findOne(t.Context(), service()); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	w.cloud.ResetCalls()
	for range 50 {
		if _, err := w.manager.findOne(t.Context(), service()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.cloud.Calls()); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestPause: after "too many requests" the cloud is left alone.
func TestPause(t *testing.T) {
	w := newWorld(t)
	w.cloud.Inject(mgctest.Fault{Status: 429, RetryAfter: 7 * time.Second, Times: 1})
	p := NewProvider(w.manager)
	for range 3 {
		_, err := p.EnsureLoadBalancer(t.Context(), "", service(), w.nodes)
		var retry *api.RetryError
		if !errors.As(err, &retry) || retry.RetryAfter() < 6*time.Second || retry.Error() != tooMany {
			t.Fatal(err)
		}
	}
	if n := len(w.cloud.Calls()); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestEventsArePlain(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct {
		fault mgctest.Fault
		text  string
	}{
		{mgctest.Fault{Status: 500}, "the cloud does not answer at the moment; trying again"},
		{mgctest.Fault{}, "the cloud does not answer at the moment; trying again"},
		{mgctest.Fault{Status: 403}, "the cloud refuses the cluster's credentials; nothing is changed until they work again"},
		{mgctest.Fault{Status: 422, MutatingOnly: true}, "the cloud refused the request: injected fault"},
	} {
		w.restart()
		remove := w.cloud.Inject(tt.fault)
		_, err := NewProvider(w.manager).EnsureLoadBalancer(t.Context(), "", service(), w.nodes)
		remove()
		if err == nil || err.Error() != tt.text {
			t.Errorf("%+v: %v", tt.fault, err)
		}
	}
}
