package writeback

import (
	"context"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cluster-api/util/conditions"
	"sigs.k8s.io/cluster-api/util/patch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	infrav1 "magalu.cloud/mke/api/infrastructure/v1beta1"
)

// world is an API server that notes the writes to its one machine.
func world(t *testing.T) (c client.Client, m *infrav1.MGKMachine, writes *[]string) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := infrav1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	writes = &[]string{}
	start := &infrav1.MGKMachine{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "m", Generation: 7, Finalizers: []string{"example.com/last"}}}
	set(start, "Old", metav1.ConditionTrue)
	c = fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(start).WithObjects(start).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			*writes = append(*writes, "object")
			if err := c.Patch(ctx, o, p, opts...); err != nil || len(o.GetFinalizers()) == 0 {
				return err
			}
			o.SetGeneration(o.GetGeneration() + 1)
			return c.Update(ctx, o)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			*writes = append(*writes, sub)
			return c.SubResource(sub).Patch(ctx, o, p, opts...)
		},
	}).Build()
	return c, get(t, c), writes
}

func get(t *testing.T, c client.Client) *infrav1.MGKMachine {
	t.Helper()
	m := &infrav1.MGKMachine{}
	if err := c.Get(context.Background(), client.ObjectKey{Namespace: "n", Name: "m"}, m); err != nil {
		t.Fatal(err)
	}
	return m
}

func set(m *infrav1.MGKMachine, condition string, status metav1.ConditionStatus) {
	conditions.Set(m, metav1.Condition{Type: condition, Status: status, Reason: "Test"})
}

func TestWrites(t *testing.T) {
	running := func(m *infrav1.MGKMachine) {
		m.Status.InstanceID = "i"
		set(m, "InstanceReady", metav1.ConditionTrue)
	}
	for name, tt := range map[string]struct {
		change func(*infrav1.MGKMachine)
		want   []string
	}{
		"nothing":                   {func(*infrav1.MGKMachine) {}, nil},
		"conditions":                {func(m *infrav1.MGKMachine) { set(m, "InstanceReady", metav1.ConditionTrue) }, []string{"status"}},
		"conditions and the status": {running, []string{"status"}},
		"the object":                {func(m *infrav1.MGKMachine) { m.Spec.ProviderID = "p" }, []string{"object"}},
		"everything":                {func(m *infrav1.MGKMachine) { running(m); m.Spec.ProviderID = "p" }, []string{"object", "status"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, m, writes := world(t)
			h, err := NewHelper(m, c)
			if err != nil {
				t.Fatal(err)
			}
			tt.change(m)
			if err := h.Patch(context.Background(), m, patch.WithOwnedConditions{Conditions: []string{"InstanceReady"}}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(*writes, tt.want) {
				t.Errorf("wrote %v, want %v", *writes, tt.want)
			}
			now := get(t, c)
			if now.Status.InstanceID != m.Status.InstanceID || now.Spec.ProviderID != m.Spec.ProviderID || len(now.Status.Conditions) != len(m.Status.Conditions) {
				t.Errorf("there is %+v %+v", now.Spec, now.Status)
			}
			if c := conditions.Get(now, "InstanceReady"); c != nil && c.ObservedGeneration != now.Generation {
				t.Errorf("the condition is about generation %d, the object has %d", c.ObservedGeneration, now.Generation)
			}
		})
	}
}

// What somebody else has written meanwhile stays.
func TestConflict(t *testing.T) {
	c, m, writes := world(t)
	h, err := NewHelper(m, c)
	if err != nil {
		t.Fatal(err)
	}
	other := get(t, c)
	other.Labels = map[string]string{"other": "yes"}
	set(other, "Theirs", metav1.ConditionTrue)
	if err := c.Status().Update(context.Background(), other); err != nil {
		t.Fatal(err)
	}
	m.Status.InstanceID, m.Spec.ProviderID = "i", "p"
	set(m, "InstanceReady", metav1.ConditionFalse)
	if err := h.Patch(context.Background(), m, patch.WithOwnedConditions{Conditions: []string{"InstanceReady"}}); err != nil {
		t.Fatal(err)
	}
	now := get(t, c)
	if now.Status.InstanceID != "i" || now.Spec.ProviderID != "p" || !conditions.IsFalse(now, "InstanceReady") ||
		!conditions.IsTrue(now, "Theirs") || !conditions.IsTrue(now, "Old") {
		t.Errorf("after %v there is %+v %+v", *writes, now.Spec, now.Status)
	}
}

// With its last finalizer the object goes, and what its status was to be does not matter.
func TestLastFinalizer(t *testing.T) {
	c, m, _ := world(t)
	if err := c.Delete(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	m = get(t, c)
	h, err := NewHelper(m, c)
	if err != nil {
		t.Fatal(err)
	}
	m.Finalizers = nil
	set(m, "InstanceReady", metav1.ConditionFalse)
	if err := h.Patch(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(context.Background(), client.ObjectKeyFromObject(m), m); !apierrors.IsNotFound(err) {
		t.Errorf("it is still there: %v", err)
	}
}
