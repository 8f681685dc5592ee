package autoscaler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/autoscaler/nodegroup"
	"magalu.cloud/mke/internal/testkube"
)

const clusterName, namespace = "c1", "cluster-c1"

var errDead = errors.New("this process is dead")

// world is a cluster with its management cluster, cloud and scheduler, in simulated time. The rules of Cluster API, the cloud, the
// scheduler and the eviction API are those that matter to the autoscaler.
type world struct {
	t      *testing.T
	clock  *clocktesting.FakePassiveClock
	kube   *fake.Clientset
	mgmt   client.WithWatch
	a      *autoscaler
	opts   Options
	events *events
	plan   planner

	boot      time.Duration
	overload  bool                               // the cloud answers 429 to all
	quota     int                                // VMs that the cloud makes
	tries     int                                // Pods that the scheduler tries at a time; 0: all
	foreign   string                             // a workload whose scheduler is not there
	boots     func(machine string) bool          // whether a VM ever becomes a node
	newNode   func(n *corev1.Node)               // what somebody does to each new node
	want      map[string]workload                // what runs
	budget    map[string]int                     // workloads of which no more than this many may be missing
	budgets   []*policyv1.PodDisruptionBudget    // that the planner knows
	machines  int                                // made so far
	killed    []string                           // Pods that were running when their node went
	writes    int                                // changes by the autoscaler
	calls     int                                // calls of the autoscaler
	dieAt     int                                // number of the call from which on nothing gets through; 0: never
	mu        sync.Mutex                         //
	bootTimes map[types.NamespacedName]time.Time // when a VM began
}

type workload struct {
	replicas int
	cpu      string
}

func newWorld(t *testing.T, change func(*Options), pools ...*clusterv1.MachineDeployment) *world {
	t.Helper()
	w := &world{
		t: t, clock: clocktesting.NewFakePassiveClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), kube: testkube.NewClientset(), events: &events{}, plan: firstFit{},
		boot: 30 * time.Second, quota: 1000, boots: func(string) bool { return true }, newNode: func(*corev1.Node) {}, want: map[string]workload{},
		budget: map[string]int{}, bootTimes: map[types.NamespacedName]time.Time{},
	}
	w.opts = testOptions(t)
	if change != nil {
		change(&w.opts)
	}
	objects := make([]client.Object, 0, len(pools))
	for _, p := range pools {
		objects = append(objects, p)
	}
	scheme := newScheme()
	w.mgmt = ctrlfake.NewClientBuilder().WithScheme(scheme).WithObjectTracker(testkube.NewTracker(scheme)).WithObjects(objects...).
		WithStatusSubresource(&clusterv1.Machine{}, &infrav1.MGKMachine{}).Build()
	w.kube.PrependReactor("*", "*", func(action ktesting.Action) (bool, runtime.Object, error) {
		if err := w.call(action.GetVerb() != "get" && action.GetVerb() != "list"); err != nil {
			return true, nil, err
		}
		return w.react(action)
	})
	w.restart()
	return w
}

func testOptions(t *testing.T) Options {
	t.Helper()
	var o Options
	if err := newFlagSet(&o).Parse(nil); err != nil {
		t.Fatal(err)
	}
	return o
}

// restart lets a new process take over.
func (w *world) restart() {
	w.t.Helper()
	w.dieAt = 0
	counted := interceptor.NewClient(w.mgmt, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			return errors.Join(w.call(false), c.Get(ctx, key, o, opts...))
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if err := w.call(true); err != nil {
				return err
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	a, err := newAutoscaler(w.opts, w.kube, w, &nodegroup.Provider{Client: counted, Cache: w.mgmt, Namespace: namespace, Cluster: clusterName}, w.plan, w.events, w.clock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.a = a
}

// call counts a call of the autoscaler's.
func (w *world) call(write bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.dieAt > 0 && w.calls >= w.dieAt {
		return errDead
	}
	if write {
		w.writes++
	}
	return nil
}

// react is the part of the API server that the fake lacks: evictions and the selection of Pods by node.
func (w *world) react(action ktesting.Action) (bool, runtime.Object, error) {
	switch {
	case action.Matches("create", "pods/eviction"):
		e := action.(ktesting.CreateAction).GetObject().(*policyv1.Eviction)
		return true, nil, w.evict(e)
	case action.Matches("list", "pods"):
		node, selected := action.(ktesting.ListAction).GetListRestrictions().Fields.RequiresExactMatch("spec.nodeName")
		if !selected {
			return false, nil, nil
		}
		list := &corev1.PodList{}
		for _, p := range w.pods() {
			if p.Spec.NodeName == node {
				list.Items = append(list.Items, *p)
			}
		}
		return true, list, nil
	}
	return false, nil, nil
}

func (w *world) evict(e *policyv1.Eviction) error {
	var pod *corev1.Pod
	running := 0
	for _, p := range w.pods() {
		if p.Name == e.Name {
			pod = p
		}
	}
	if pod == nil {
		return apierrors.NewNotFound(corev1.Resource("pods"), e.Name)
	}
	name := pod.Labels["app"]
	for _, p := range w.pods() {
		if p.Labels["app"] == name && p.Status.Phase == corev1.PodRunning {
			running++
		}
	}
	if missing, ok := w.budget[name]; ok && w.want[name].replicas-(running-1) > missing {
		err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 0)
		err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: policyv1.DisruptionBudgetCause, Message: "The disruption budget " + name + " needs 1 healthy pods and has 1 currently"}}
		return err
	}
	return w.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), pod.Namespace, pod.Name)
}

// pool returns a MachineDeployment whose nodes have 4 cores.
func pool(name string, least, most int, annotations ...string) *clusterv1.MachineDeployment {
	md := &clusterv1.MachineDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{clusterv1.ClusterNameLabel: clusterName}, Annotations: map[string]string{
			nodegroup.MinSizeAnnotation: strconv.Itoa(least), nodegroup.MaxSizeAnnotation: strconv.Itoa(most),
			nodegroup.CPUAnnotation: "4", nodegroup.MemoryAnnotation: "8Gi", nodegroup.LabelsAnnotation: "pool=" + name,
		}},
		Spec: clusterv1.MachineDeploymentSpec{ClusterName: clusterName, Replicas: ptr.To(int32(least))},
	}
	for i := 0; i+1 < len(annotations); i += 2 {
		md.Annotations[annotations[i]] = annotations[i+1]
	}
	return md
}

// run lets time pass, in steps.
func (w *world) run(d, step time.Duration) {
	w.t.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.SetTime(w.clock.Now().Add(step))
		w.turn()
	}
}

// turn lets everybody act once; the autoscaler until it has nothing to do.
func (w *world) turn() {
	w.t.Helper()
	w.runPods()
	w.schedule()
	for range 8 {
		w.look()
		w.runMachineDeployments()
		if !w.a.touched.Load() {
			break
		}
	}
	w.runCloud()
	w.runPods()
	w.schedule()
}

func (w *world) look() {
	w.t.Helper()
	w.a.touch()
	if _, err := w.a.runOnce(context.Background()); err != nil && !errors.Is(err, errDead) {
		w.t.Fatal(err)
	}
}

// runMachineDeployments does Cluster API's part: as many Machines as wanted, marked ones first to go.
func (w *world) runMachineDeployments() {
	for _, md := range w.deployments() {
		var live []*clusterv1.Machine
		for _, m := range w.machineList() {
			if m.Labels[clusterv1.MachineDeploymentNameLabel] == md.Name {
				live = append(live, m)
			}
		}
		rank := func(m *clusterv1.Machine) int {
			switch {
			case m.Annotations[clusterv1.DeleteMachineAnnotation] != "":
				return 0
			case !m.Status.NodeRef.IsDefined():
				return 1
			}
			return 2
		}
		slices.SortFunc(live, func(a, b *clusterv1.Machine) int {
			return cmp.Or(cmp.Compare(rank(a), rank(b)), b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		for i := len(live); i < int(*md.Spec.Replicas); i++ {
			w.addMachine(md)
		}
		for i := 0; i < len(live)-int(*md.Spec.Replicas); i++ {
			w.deleteMachine(live[i])
		}
	}
}

func (w *world) addMachine(md *clusterv1.MachineDeployment) {
	w.machines++
	name := fmt.Sprintf("%s-%03d", md.Name, w.machines)
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name, CreationTimestamp: metav1.NewTime(w.clock.Now()), Labels: map[string]string{
		clusterv1.ClusterNameLabel: clusterName, clusterv1.MachineDeploymentNameLabel: md.Name,
	}}
	m := &clusterv1.Machine{ObjectMeta: meta, Spec: clusterv1.MachineSpec{ClusterName: clusterName}}
	m.Spec.InfrastructureRef = clusterv1.ContractVersionedObjectReference{Kind: "MGKMachine", Name: name, APIGroup: infrav1.GroupVersion.Group}
	w.must(w.mgmt.Create(context.Background(), m))
	w.must(w.mgmt.Create(context.Background(), &infrav1.MGKMachine{ObjectMeta: *meta.DeepCopy()}))
}

func (w *world) deleteMachine(m *clusterv1.Machine) {
	w.must(w.mgmt.Delete(context.Background(), m))
	w.must(client.IgnoreNotFound(w.mgmt.Delete(context.Background(), &infrav1.MGKMachine{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: m.Name}})))
	for _, p := range w.pods() {
		if p.Spec.NodeName == m.Name && m.Name != "" {
			w.killed = append(w.killed, p.Name)
			w.must(w.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), p.Namespace, p.Name))
		}
	}
	err := w.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("nodes"), "", m.Name)
	if err != nil && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
}

// runCloud makes VMs within the quota and lets them become nodes.
func (w *world) runCloud() {
	used := 0
	for _, m := range w.machineList() {
		key := client.ObjectKeyFromObject(m)
		began, running := w.bootTimes[key]
		switch {
		case m.Status.NodeRef.IsDefined():
			used++
		case running:
			used++
			if w.clock.Now().Sub(began) >= w.boot && w.boots(m.Name) {
				w.join(m)
			}
		case w.overload:
			w.condition(m.Name, metav1.ConditionFalse, "CreationFailed", "the VM cannot be made: 429 Too Many Requests",
				metav1.Condition{Type: infrav1.CloudReachableCondition, Status: metav1.ConditionFalse, Reason: "RateLimited"})
		case used < w.quota:
			used++
			w.bootTimes[key] = w.clock.Now()
			w.condition(m.Name, metav1.ConditionFalse, "Provisioning", "the VM is being made")
		default:
			w.condition(m.Name, metav1.ConditionFalse, "CreationFailed", "the VM cannot be made: 403 Forbidden: instance quota exceeded")
		}
	}
}

func (w *world) condition(name string, status metav1.ConditionStatus, reason, message string, others ...metav1.Condition) {
	vm := &infrav1.MGKMachine{}
	w.must(w.mgmt.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, vm))
	vm.Status.Conditions = append(others, metav1.Condition{Type: infrav1.InstanceReadyCondition, Status: status, Reason: reason, Message: message})
	w.must(w.mgmt.Status().Update(context.Background(), vm))
}

func (w *world) join(m *clusterv1.Machine) {
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: m.Name, CreationTimestamp: metav1.NewTime(w.clock.Now()), Labels: map[string]string{"pool": m.Labels[clusterv1.MachineDeploymentNameLabel]}},
		Status: corev1.NodeStatus{
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi"), corev1.ResourcePods: resource.MustParse("110")},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(w.clock.Now())}},
		},
	}
	w.newNode(n)
	w.must(w.kube.Tracker().Add(n))
	m.Status.NodeRef = clusterv1.MachineNodeReference{Name: n.Name}
	w.must(w.mgmt.Status().Update(context.Background(), m))
}

// runPods does the Deployments' part.
func (w *world) runPods() {
	have := map[string][]*corev1.Pod{}
	for _, p := range w.pods() {
		have[p.Labels["app"]] = append(have[p.Labels["app"]], p)
	}
	for app, pods := range have {
		slices.SortFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(b.Name, a.Name) })
		for i := 0; i < len(pods)-w.want[app].replicas; i++ {
			w.must(w.kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "default", pods[i].Name))
		}
	}
	for app, want := range w.want {
		for i := len(have[app]); i < want.replicas; i++ {
			w.machines++
			p := &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("%s-%04d", app, w.machines), UID: types.UID(fmt.Sprint(w.machines)), Labels: map[string]string{"app": app}, CreationTimestamp: metav1.NewTime(w.clock.Now()),
					OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app, UID: types.UID(app), Controller: ptr.To(true)}}},
				Spec: corev1.PodSpec{SchedulerName: corev1.DefaultSchedulerName, Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{
					Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(want.cpu)},
				}}}},
				Status: corev1.PodStatus{Phase: corev1.PodPending},
			}
			if app == w.foreign {
				p.Spec.SchedulerName = "foreign"
			}
			w.must(w.kube.Tracker().Add(p))
		}
	}
}

// schedule binds Pods to nodes with room.
func (w *world) schedule() {
	free, tried := freeCores(w.nodes(), w.pods()), 0
	for _, p := range w.pods() {
		if p.Spec.NodeName != "" || p.Spec.SchedulerName == "foreign" {
			continue
		}
		if tried++; w.tries > 0 && tried > w.tries {
			return
		}
		if node := firstWithRoom(w.nodes(), free, cores(p)); node != "" {
			free[node] -= cores(p)
			p.Spec.NodeName, p.Status.Phase, p.Status.Conditions = node, corev1.PodRunning, nil
		} else if len(p.Status.Conditions) == 0 {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable}}
		} else {
			continue
		}
		w.must(w.kube.Tracker().Update(corev1.SchemeGroupVersion.WithResource("pods"), p, "default"))
	}
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatal(err)
	}
}

func listOf[L runtime.Object](w *world, resource, kind string) L {
	o, err := w.kube.Tracker().List(corev1.SchemeGroupVersion.WithResource(resource), corev1.SchemeGroupVersion.WithKind(kind), "")
	w.must(err)
	return o.(L)
}

func (w *world) nodes() []*corev1.Node {
	list := listOf[*corev1.NodeList](w, "nodes", "Node")
	slices.SortFunc(list.Items, func(a, b corev1.Node) int { return cmp.Compare(a.Name, b.Name) })
	return addresses(list.Items)
}

func (w *world) pods() []*corev1.Pod {
	list := listOf[*corev1.PodList](w, "pods", "Pod")
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return cmp.Compare(a.Name, b.Name) })
	return addresses(list.Items)
}

func addresses[T any](in []T) []*T {
	out := make([]*T, 0, len(in))
	for i := range in {
		out = append(out, &in[i])
	}
	return out
}

func (w *world) deployments() []*clusterv1.MachineDeployment {
	var list clusterv1.MachineDeploymentList
	w.must(w.mgmt.List(context.Background(), &list))
	return addresses(list.Items)
}

func (w *world) machineList() []*clusterv1.Machine {
	var list clusterv1.MachineList
	w.must(w.mgmt.List(context.Background(), &list))
	return addresses(list.Items)
}

func (w *world) deployment(name string) *clusterv1.MachineDeployment {
	md := &clusterv1.MachineDeployment{}
	w.must(w.mgmt.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, md))
	return md
}

func (w *world) target(pool string) int { return int(*w.deployment(pool).Spec.Replicas) }

func (w *world) waiting() int {
	n := 0
	for _, p := range w.pods() {
		if p.Spec.NodeName == "" {
			n++
		}
	}
	return n
}

// The autoscaler's view of the customer's cluster.
func (w *world) Nodes() ([]*corev1.Node, error)                 { return w.nodes(), nil }
func (w *world) Pods() ([]*corev1.Pod, error)                   { return w.pods(), nil }
func (w *world) DaemonSets() ([]*appsv1.DaemonSet, error)       { return nil, nil }
func (w *world) PDBs() ([]*policyv1.PodDisruptionBudget, error) { return w.budgets, nil }
func (w *world) CSINode(string) *storagev1.CSINode              { return nil }

// events remembers what was told.
type events struct {
	mu   sync.Mutex
	list []string
}

func (e *events) Event(o runtime.Object, kind, reason, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	name := ""
	if m, ok := o.(metav1.Object); ok {
		name = m.GetName()
	}
	e.list = append(e.list, name+" "+reason+" "+message)
}

func (e *events) Eventf(o runtime.Object, kind, reason, format string, args ...any) {
	e.Event(o, kind, reason, fmt.Sprintf(format, args...))
}

func (e *events) AnnotatedEventf(o runtime.Object, _ map[string]string, kind, reason, format string, args ...any) {
	e.Eventf(o, kind, reason, format, args...)
}
