package nodegroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	clusterv1 "sigs.k8s.io/cluster-api/api/core/v1beta2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
	"magalu.cloud/mke/internal/testenv"
)

var config *rest.Config

func TestMain(m *testing.M) { os.Exit(testenv.Main(m, &config)) }

// world is a real API server with Cluster API's kinds, one namespace per test.
type world struct {
	*Provider
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, clusterv1.AddToScheme, infrav1.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cluster-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	return &world{&Provider{Client: c, Cache: c, Namespace: ns.Name, Cluster: "c1"}, t}
}

func (w *world) pool(name string, replicas int32, annotations map[string]string) {
	w.t.Helper()
	md := &clusterv1.MachineDeployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: name, Labels: map[string]string{clusterv1.ClusterNameLabel: "c1"}, Annotations: annotations},
		Spec: clusterv1.MachineDeploymentSpec{
			ClusterName: "c1", Replicas: ptr.To(replicas), Selector: metav1.LabelSelector{MatchLabels: map[string]string{"pool": name}},
			Template: clusterv1.MachineTemplateSpec{ObjectMeta: clusterv1.ObjectMeta{Labels: map[string]string{"pool": name}}, Spec: spec("template")},
		},
	}
	if err := w.Client.Create(w.t.Context(), md); err != nil {
		w.t.Fatal(err)
	}
	for i := range replicas {
		m := &clusterv1.Machine{ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: fmt.Sprintf("%s-%d", name, i), Labels: map[string]string{
			clusterv1.ClusterNameLabel: "c1", clusterv1.MachineDeploymentNameLabel: name,
		}}, Spec: spec(fmt.Sprintf("%s-%d", name, i))}
		if err := w.Client.Create(w.t.Context(), m); err != nil {
			w.t.Fatal(err)
		}
	}
}

func spec(infra string) clusterv1.MachineSpec {
	return clusterv1.MachineSpec{
		ClusterName: "c1", Bootstrap: clusterv1.Bootstrap{DataSecretName: ptr.To("x")},
		InfrastructureRef: clusterv1.ContractVersionedObjectReference{APIGroup: infrav1.GroupVersion.Group, Kind: "MGKMachine", Name: infra},
	}
}

var bounds = map[string]string{MinSizeAnnotation: "0", MaxSizeAnnotation: "5"}

func (w *world) one() Group {
	w.t.Helper()
	groups, problems, err := w.List(w.t.Context())
	if err != nil || len(problems) > 0 || len(groups) != 1 {
		w.t.Fatal(groups, problems, err)
	}
	return groups[0]
}

func (w *world) machine(name string) Machine {
	w.t.Helper()
	g := w.one()
	i := slices.IndexFunc(g.Machines, func(m Machine) bool { return m.Name == name })
	if i < 0 {
		w.t.Fatal("no machine ", name)
	}
	return g.Machines[i]
}

func TestListShowsAutoscaledPoolsOnly(t *testing.T) {
	w := newWorld(t)
	w.pool("fixed", 0, nil)
	w.pool("wrong", 0, map[string]string{MaxSizeAnnotation: "many"})
	w.pool("a", 2, map[string]string{
		MinSizeAnnotation: "1", MaxSizeAnnotation: "5", CPUAnnotation: "4", MemoryAnnotation: "8Gi", MaxPodsAnnotation: "32", LabelsAnnotation: "pool=a,x/y=z",
		TaintsAnnotation: "dedicated=db:NoSchedule", ZonesAnnotation: "br-se1-b,br-se1-a", PriceAnnotation: "0.5", CSIDriverAnnotation: "csi.example=16",
	})
	groups, problems, err := w.List(t.Context())
	if err != nil || len(groups) != 1 || len(problems) != 1 || !strings.Contains(problems[0].Error(), `"many" is no number of nodes`) {
		t.Fatal(groups, problems, err)
	}
	g := groups[0]
	if g.Name != "a" || g.Min != 1 || g.Max != 5 || g.Target != 2 || g.Price != 0.5 || len(g.Machines) != 2 || !slices.Equal(g.Zones, []string{"br-se1-b", "br-se1-a"}) {
		t.Errorf("%+v", g)
	}
	n := g.Template
	if n.Labels["x/y"] != "z" || n.Status.Allocatable.Cpu().Value() != 4 || n.Status.Allocatable.Pods().Value() != 32 ||
		n.Spec.Taints[0] != (corev1.Taint{Key: "dedicated", Value: "db", Effect: corev1.TaintEffectNoSchedule}) || *g.CSINode.Spec.Drivers[0].Allocatable.Count != 16 {
		t.Errorf("%+v", n)
	}
}

func TestTemplateOffersWhatAnnotationsDoNotSay(t *testing.T) {
	offer := infrav1.MGKMachineTemplateStatus{
		Capacity: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("4Gi")},
		NodeInfo: infrav1.NodeInfo{Architecture: "arm64"},
	}
	md := &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{MaxSizeAnnotation: "5", CPUAnnotation: "3"}}}
	g, err := group(md, offer)
	if err != nil {
		t.Fatal(err)
	}
	if a := g.Template.Status.Allocatable; a.Cpu().Value() != 3 || a.Memory().Value() != 4<<30 || g.Template.Labels[corev1.LabelArchStable] != "arm64" {
		t.Errorf("%v %v", a, g.Template.Labels)
	}
	if g, err := group(md, infrav1.MGKMachineTemplateStatus{}); err != nil || g.Template != nil {
		t.Errorf("a template without memory: %v %v", g.Template, err)
	}
}

func TestResizeHappensOnce(t *testing.T) {
	w := newWorld(t)
	w.pool("a", 1, bounds)
	if err := w.Resize(t.Context(), "a", 1, 3); err != nil {
		t.Fatal(err)
	}
	if err := w.Resize(t.Context(), "a", 1, 3); !errors.Is(err, ErrChanged) {
		t.Error("a second time: ", err)
	}
	if g := w.one(); g.Target != 3 {
		t.Errorf("target %d", g.Target)
	}
}

func TestRemoveIsRecordedAndHappensOnce(t *testing.T) {
	w := newWorld(t)
	w.pool("a", 3, bounds)
	for range 2 {
		if err := w.Remove(t.Context(), "a", 0, []string{"a-1", "a-9"}); err != nil {
			t.Fatal(err)
		}
	}
	if g := w.one(); g.Target != 2 {
		t.Errorf("target %d", g.Target)
	}
	if m := w.machine("a-1"); !m.Marked || !m.Removed {
		t.Errorf("%+v", m)
	}
	if err := w.Restore(t.Context(), "a", "a-1", true); err != nil {
		t.Fatal(err)
	}
	if m := w.machine("a-1"); !m.Marked {
		t.Error("a mark with a record was taken away")
	}
	if err := w.Restore(t.Context(), "a", "a-1", false); err != nil {
		t.Fatal(err)
	}
	if m := w.machine("a-1"); m.Marked || m.Removed {
		t.Errorf("%+v", m)
	}
}

func TestRemoveKeepsTheFloor(t *testing.T) {
	w := newWorld(t)
	w.pool("a", 2, bounds)
	if err := w.Remove(t.Context(), "a", 2, []string{"a-0"}); !errors.Is(err, ErrChanged) {
		t.Fatal(err)
	}
	if m := w.machine("a-0"); !m.Marked || m.Removed {
		t.Errorf("%+v", m)
	}
	if err := w.Restore(t.Context(), "a", "a-0", true); err != nil {
		t.Fatal(err)
	}
	if m := w.machine("a-0"); m.Marked {
		t.Errorf("%+v", m)
	}
}

// A person and the autoscaler write at the same time: neither write is lost.
func TestConcurrentChangeIsKept(t *testing.T) {
	w := newWorld(t)
	w.pool("a", 1, bounds)
	once := true
	inner := w.Client.(client.WithWatch)
	w.Client = interceptor.NewClient(inner, interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if once {
				once = false
				md := &clusterv1.MachineDeployment{}
				if err := c.Get(ctx, client.ObjectKeyFromObject(o), md); err != nil {
					return err
				}
				md.Annotations[MaxSizeAnnotation] = "7"
				if err := c.Update(ctx, md); err != nil {
					return err
				}
			}
			return c.Patch(ctx, o, p, opts...)
		},
	})
	if err := w.Resize(t.Context(), "a", 1, 2); err != nil {
		t.Fatal(err)
	}
	if g := w.one(); g.Max != 7 || g.Target != 2 {
		t.Errorf("%+v", g)
	}
}

// The cache lags: what this process wrote counts until it has caught up.
func TestOwnWritesAreSeen(t *testing.T) {
	w := newWorld(t)
	w.pool("a", 1, bounds)
	stale := &clusterv1.MachineDeployment{}
	if err := w.Client.Get(t.Context(), client.ObjectKey{Namespace: w.Namespace, Name: "a"}, stale); err != nil {
		t.Fatal(err)
	}
	if err := w.Resize(t.Context(), "a", 1, 4); err != nil {
		t.Fatal(err)
	}
	if md := w.newest(stale); *md.Spec.Replicas != 4 {
		t.Errorf("target %d", *md.Spec.Replicas)
	}
}

func TestFailuresOfVMs(t *testing.T) {
	vm := func(ready, reachable string, provisioned bool) infrav1.MGKMachine {
		m := infrav1.MGKMachine{ObjectMeta: metav1.ObjectMeta{Name: "m"}}
		m.Status.Conditions = []metav1.Condition{
			{Type: infrav1.InstanceReadyCondition, Status: metav1.ConditionFalse, Reason: ready, Message: "no room"},
			{Type: infrav1.CloudReachableCondition, Status: metav1.ConditionStatus(reachable)},
		}
		m.Status.Initialization.Provisioned = &provisioned
		return m
	}
	for _, tt := range []struct {
		name string
		vm   infrav1.MGKMachine
		want string
	}{
		{"refused", vm("CreationFailed", "True", false), "no room"},
		{"broken while being made", vm("Failed", "True", false), "no room"},
		{"cloud overloaded: nothing is known", vm("CreationFailed", "False", false), ""},
		{"being made", vm("Provisioning", "True", false), ""},
		{"ran once", vm("Failed", "True", true), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := failures([]infrav1.MGKMachine{tt.vm})["m"]; got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestAnnotationsThatMakeNoSense(t *testing.T) {
	for annotation, value := range map[string]string{
		CPUAnnotation: "four", TaintsAnnotation: "dedicated", LabelsAnnotation: "pool", PriceAnnotation: "-1", CSIDriverAnnotation: "csi.example=x", MinSizeAnnotation: "9",
	} {
		md := &clusterv1.MachineDeployment{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{MaxSizeAnnotation: "5", CPUAnnotation: "4", MemoryAnnotation: "8Gi"}}}
		md.Annotations[annotation] = value
		if _, err := group(md, infrav1.MGKMachineTemplateStatus{}); err == nil {
			t.Errorf("%s=%s is taken", annotation, value)
		}
	}
}
