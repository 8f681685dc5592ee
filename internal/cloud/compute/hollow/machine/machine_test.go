package machine

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"magalu.cloud/mke/internal/catalog"
)

const patience = 30 * time.Second

func (c *cluster) node(name string) func() *corev1.Node {
	return func() *corev1.Node {
		n, err := c.client.CoreV1().Nodes().Get(c.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return &corev1.Node{}
		}
		return n
	}
}

func nodeReady(n *corev1.Node) bool { return isReady(n.Status.Conditions) }

// place makes a pod on a node, as the scheduler and controllers do.
func (c *cluster) place(node, name string, change func(*corev1.Pod)) {
	c.t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}, Spec: corev1.PodSpec{NodeName: node,
		Containers: []corev1.Container{{Name: "web", Image: "nginx"}}}}
	if change != nil {
		change(pod)
	}
	must(c.client.CoreV1().Pods("default").Create(c.t.Context(), pod, metav1.CreateOptions{}))(c.t)
}

func (c *cluster) pod(name string) func() *corev1.Pod {
	return func() *corev1.Pod {
		p, err := c.client.CoreV1().Pods("default").Get(c.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return &corev1.Pod{Status: corev1.PodStatus{Reason: string(apierrors.ReasonForError(err))}}
		}
		return p
	}
}

func phase(p *corev1.Pod) corev1.PodPhase { return p.Status.Phase }
func gone(p *corev1.Pod) bool             { return p.Status.Reason == string(metav1.StatusReasonNotFound) }

// TestMachines has one API server for all tests that need one.
func TestMachines(t *testing.T) {
	c := newCluster(t)
	for name, test := range map[string]func(*testing.T, *cluster){
		"a node's life": testNode, "the certificate is renewed": testRenewal, "discovery verifies": testDiscovery, "some never boot": testNeverBoot,
		"the process ends while it joins": testJoinInterrupted,
	} {
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
}

func testNode(t *testing.T, c *cluster) {
	whole := t
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	dir := t.TempDir()
	quick(t, dir)
	vm := c.vm(1)
	folder := install(t, dir, vm)
	host, shut := open(t, dir)

	g.Eventually(c.node("pool-1")).Should(Satisfy(nodeReady))
	node := c.node("pool-1")()
	g.Expect(node.Spec.ProviderID).To(Equal("magalu://br-se1-b/" + vm.ID))
	g.Expect(node.Labels).To(And(HaveKeyWithValue(catalog.HollowLabel, "true"), HaveKeyWithValue("tier", "hollow"), HaveKey("node.kubernetes.io/exclude-from-external-load-balancers")))
	var taints []string
	for _, taint := range node.Spec.Taints {
		taints = append(taints, taint.Key)
	}
	g.Expect(taints).To(ContainElements("node.cluster.x-k8s.io/uninitialized", "node.cloudprovider.kubernetes.io/uninitialized"))
	g.Expect(node.Status.Capacity.Cpu().String()).To(Equal("2"))
	g.Expect(node.Status.Allocatable.Cpu().String()).To(Equal("1900m"))
	g.Expect(node.Status.Allocatable.Memory().Value()).To(Equal(int64(4096-300) << 20))
	g.Expect(node.Status.Capacity.Pods().Value()).To(Equal(int64(32)), "the flag wins over the ConfigMap")
	g.Expect(node.Status.NodeInfo.KubeletVersion).To(Equal("v1.34.2"))
	g.Expect(node.Status.Addresses).To(ContainElement(corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}))

	t.Run("lease", func(t *testing.T) {
		g := NewWithT(t)
		renewed := func() time.Time {
			lease, err := c.client.CoordinationV1().Leases("kube-node-lease").Get(t.Context(), "pool-1", metav1.GetOptions{})
			if err != nil || len(lease.OwnerReferences) != 1 || lease.OwnerReferences[0].UID != node.UID {
				return time.Time{}
			}
			return lease.Spec.RenewTime.Time
		}
		g.Eventually(renewed).WithTimeout(patience).ShouldNot(BeZero())
		first := renewed()
		g.Eventually(renewed).WithTimeout(patience).Should(BeTemporally(">", first))
	})

	t.Run("pods", func(t *testing.T) {
		g := NewWithT(t)
		g.SetDefaultEventuallyTimeout(patience)
		c.place("pool-1", "web", nil)
		c.place("pool-1", "agent", func(p *corev1.Pod) { p.Spec.HostNetwork = true })
		c.place("pool-1", "job", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })
		c.place("pool-1", "gated", func(p *corev1.Pod) {
			p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "example.com/open"}}
			p.Spec.InitContainers = []corev1.Container{{Name: "first", Image: "busybox"}}
		})
		for _, name := range []string{"web", "agent", "gated"} {
			g.Eventually(c.pod(name)).Should(HaveField("Status.Phase", corev1.PodRunning), name)
		}
		web, agent := c.pod("web")(), c.pod("agent")()
		g.Expect(web.Status.PodIP).To(HavePrefix("100.64.1."))
		g.Expect(web.Status.ContainerStatuses[0].Ready).To(BeTrue())
		g.Expect(hasCondition(web, corev1.PodReady)).To(BeTrue())
		g.Expect(agent.Status.PodIP).To(Equal("10.0.0.1"))
		g.Expect(web.Status.PodIP).NotTo(Equal(c.pod("gated")().Status.PodIP))
		g.Eventually(c.pod("job")).Should(HaveField("Status.Phase", corev1.PodSucceeded))
		g.Expect(c.pod("job")().Status.ContainerStatuses[0].State.Terminated.ExitCode).To(BeZero())

		gated := c.pod("gated")()
		g.Expect(hasCondition(gated, corev1.PodReady)).To(BeFalse())
		g.Expect(gated.Status.InitContainerStatuses[0].State.Terminated.ExitCode).To(BeZero())
		gated.Status.Conditions = append(gated.Status.Conditions, corev1.PodCondition{Type: "example.com/open", Status: corev1.ConditionTrue})
		must(c.client.CoreV1().Pods("default").UpdateStatus(t.Context(), gated, metav1.UpdateOptions{}))(t)
		g.Eventually(func() bool { return hasCondition(c.pod("gated")(), corev1.PodReady) }).Should(BeTrue())

		g.Expect(c.client.CoreV1().Pods("default").Delete(t.Context(), "web", metav1.DeleteOptions{})).To(Succeed())
		g.Eventually(c.pod("web")).Should(Satisfy(gone))
	})

	t.Run("the process restarts", func(t *testing.T) {
		g := NewWithT(t)
		g.SetDefaultEventuallyTimeout(patience)
		before := must(os.ReadFile(folder.path(identityFile)))(t)
		signed, agent := c.signed.Load(), c.pod("agent")()
		shut()
		g.Expect(c.client.CoreV1().Pods("default").Delete(t.Context(), "gated", metav1.DeleteOptions{})).To(Succeed())
		c.place("pool-1", "meanwhile", nil)
		host, shut = open(whole, dir)
		g.Eventually(c.pod("meanwhile")).Should(HaveField("Status.Phase", corev1.PodRunning))
		g.Eventually(c.pod("gated")).Should(Satisfy(gone))
		g.Expect(must(os.ReadFile(folder.path(identityFile)))(t)).To(Equal(before), "the identity stays")
		g.Expect(c.signed.Load()).To(Equal(signed))
		g.Expect(c.node("pool-1")().UID).To(Equal(node.UID))
		g.Expect(c.pod("agent")().Status.ContainerStatuses).To(Equal(agent.Status.ContainerStatuses), "what ran goes on")
	})

	t.Run("behaviors change while it runs", func(t *testing.T) {
		g := NewWithT(t)
		g.SetDefaultEventuallyTimeout(patience)
		for _, step := range []struct {
			rules Rules
			ready bool
		}{{Rules{Rules: []Rule{{Flavor: "HL2-*", Name: "pool-*", Behavior: Behavior{NotReady: true}}}}, false}, {Rules{}, true}} {
			g.Expect(SaveRules(dir, step.rules)).To(Succeed())
			g.Expect(host.LoadRules()).To(Succeed())
			g.Eventually(func() bool { return nodeReady(c.node("pool-1")()) }).Should(Equal(step.ready))
		}
	})

	t.Run("it is stopped", func(t *testing.T) {
		g := NewWithT(t)
		g.Expect(folder.SetPhase(Stopped)).To(Succeed())
		g.Expect(host.Sync(vm.ID, false)).To(Succeed())
		g.Expect(host.Count()).To(BeZero())
		c.place("pool-1", "late", nil)
		g.Consistently(func() corev1.PodPhase { return phase(c.pod("late")()) }).WithTimeout(500 * time.Millisecond).Should(Equal(corev1.PodPending))
	})
}

func testRenewal(t *testing.T, c *cluster) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	dir := t.TempDir()
	quick(t, dir)
	c.old.Store(true)
	folder := install(t, dir, c.vm(2))
	open(t, dir)
	g.Eventually(func() []byte { id, _ := folder.identity(); return id.Cert }).ShouldNot(BeEmpty())
	first := must(folder.identity())(t)
	c.old.Store(false)
	young := func() bool {
		at, err := must(folder.identity())(t).renewAt(0)
		return err == nil && at.After(time.Now())
	}
	g.Eventually(young).Should(BeTrue())
	g.Expect(must(folder.identity())(t).Key).NotTo(Equal(first.Key))
	c.place("pool-2", "after", nil)
	g.Eventually(c.pod("after")).Should(HaveField("Status.Phase", corev1.PodRunning))
}

// What was asked for before is waited for: one request, one Node.
func testJoinInterrupted(t *testing.T, c *cluster) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	dir, vm := t.TempDir(), c.vm(3)
	quick(t, dir)
	folder := install(t, dir, vm)
	c.absent.Store(true)
	requests := func() (mine []string) {
		list := must(c.client.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{}))(t)
		for _, csr := range list.Items {
			if len(csr.Status.Certificate) == 0 {
				mine = append(mine, csr.Name)
			}
		}
		return mine
	}
	_, shut := open(t, dir)
	g.Eventually(requests).Should(HaveLen(1))
	first := requests()
	shut()
	g.Expect(must(folder.identity())(t).Cert).To(BeEmpty())
	open(t, dir)
	g.Consistently(requests).WithTimeout(500 * time.Millisecond).Should(Equal(first))
	c.signRest()
	g.Eventually(c.node("pool-3")).Should(Satisfy(nodeReady))
}

// A wrong token, or another CA, ends before anything is told to the server.
func testDiscovery(t *testing.T, c *cluster) {
	dir, signed := t.TempDir(), c.signed.Load()
	for name, change := range map[string][2]string{
		"is not signed with this token":     {tokenSecret, "ffffffffffffffff"},
		"has none of the expected hashes":   {c.caHash, "sha256:" + strings.Repeat("0", 64)},
		"a hollow VM does not know ds.nope": {"ds.meta_data.uuid", "ds.nope"},
	} {
		s := c.vm(500 + len(name))
		s.UserData = bytes.ReplaceAll(s.UserData, []byte(change[0]), []byte(change[1]))
		m := &machine{folder: install(t, dir, s), spec: s}
		config, err := boot(s)
		if err == nil {
			_, err = m.join(t.Context(), config)
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("join: %v, want %s", err, name)
		}
	}
	if c.signed.Load() != signed {
		t.Error("a certificate was asked for")
	}
}

// Some never boot, and do when the fault is over; the draw is the same after a restart.
func testNeverBoot(t *testing.T, c *cluster) {
	g := NewWithT(t)
	g.SetDefaultEventuallyTimeout(patience)
	dir := t.TempDir()
	g.Expect(SaveRules(dir, Rules{Rules: []Rule{{Percent: ptr.To(40), Behavior: Behavior{NeverBoots: true}}, {}}})).To(Succeed())
	const all = 20
	dead := 0
	for n := range all {
		install(t, dir, c.vm(100+n))
		if draw(c.vm(100+n).ID, 0) < 40 {
			dead++
		}
	}
	g.Expect(dead).To(And(BeNumerically(">", 2), BeNumerically("<", 15)))
	nodes := func() int {
		list, err := c.client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		count := 0
		for n := range all {
			if err == nil && slices.ContainsFunc(list.Items, func(node corev1.Node) bool { return node.Name == c.vm(100+n).Name }) {
				count++
			}
		}
		return count
	}
	_, shut := open(t, dir)
	g.Eventually(nodes).Should(Equal(all - dead))
	shut()
	host, _ := open(t, dir)
	g.Consistently(nodes).WithTimeout(300 * time.Millisecond).Should(Equal(all - dead))
	quick(t, dir)
	g.Expect(host.LoadRules()).To(Succeed())
	g.Eventually(nodes).Should(Equal(all))
}

func TestRules(t *testing.T) {
	var r Rules
	for body, want := range map[string]string{
		`{"rules":[{"flavor":"HL[","never_boots":true}]}`: "rules[0].flavor",
		`{"rules":[{"percent":101}]}`:                     "rules[0].percent",
		`{"rules":[{"boot_ms":-1}]}`:                      "rules[0].boot_ms",
	} {
		r = Rules{}
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		if err := r.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", body, err, want)
		}
	}
	r = Rules{}
	if err := json.Unmarshal([]byte(`{"rules":[{"flavor":"HL2-*","boot_ms":5},{"name":"db-*","not_ready":true}]}`), &r); err != nil {
		t.Fatal(err)
	}
	for vm, want := range map[[2]string]Behavior{
		{"HL2-4-40", "db-1"}: {BootMS: 5, BootJitterMS: usual.BootJitterMS, PodStartMS: usual.PodStartMS, PodJitterMS: usual.PodJitterMS, PodStopMS: usual.PodStopMS, PodRunMS: usual.PodRunMS},
		{"HL4-8-40", "web"}:  usual,
	} {
		if got := r.of(Spec{MachineType: vm[0], Name: vm[1]}); got != want {
			t.Errorf("%v: %+v, want %+v", vm, got, want)
		}
	}
	if b := r.of(Spec{MachineType: "HL4-8-40", Name: "db-1"}); !b.NotReady || b.BootMS != usual.BootMS {
		t.Errorf("db-1: %+v", b)
	}
}
