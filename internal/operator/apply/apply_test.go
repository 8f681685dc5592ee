package apply

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func configMap(data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c"}, Data: data}
}

func TestApplyWritesOnlyChanges(t *testing.T) {
	writes := 0
	c := fake.NewClientBuilder().WithInterceptorFuncs(interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			writes++
			return c.Apply(ctx, obj, opts...)
		},
	}).Build()
	for i, step := range []struct {
		data   map[string]string
		writes int
	}{
		{map[string]string{"a": "1", "b": "2"}, 1},
		{map[string]string{"b": "2", "a": "1"}, 1},
		{map[string]string{"a": "1"}, 2},
	} {
		if err := Apply(t.Context(), c, configMap(step.data)); err != nil {
			t.Fatal(err)
		}
		if writes != step.writes {
			t.Errorf("step %d: %d writes, want %d", i, writes, step.writes)
		}
	}
	live := configMap(nil)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(live), live); err != nil {
		t.Fatal(err)
	}
	if _, there := live.Data["b"]; there || live.Data["a"] != "1" {
		t.Errorf("a field that is no longer wanted stays: %v", live.Data)
	}
}

func TestWake(t *testing.T) {
	c := fake.NewClientBuilder().WithObjects(configMap(nil)).Build()
	live := func() *corev1.ConfigMap {
		o := configMap(nil)
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	again, err := Wake(t.Context(), c, live(), "done")
	if err != nil || again != wakeInterval || !Woken(live(), "done") || Woken(live(), "do") {
		t.Fatalf("first call: %v %v %v", again, err, live().Annotations)
	}
	version := live().ResourceVersion
	if again, err = Wake(t.Context(), c, live(), "done"); err != nil || again <= 0 || again > wakeInterval || live().ResourceVersion != version {
		t.Errorf("a second call too early must only say when: %v %v", again, err)
	}
	old := live()
	old.Annotations[WakeAnnotation] = "done " + time.Now().Add(-wakeInterval).UTC().Format(time.RFC3339Nano)
	if _, err := Wake(t.Context(), c, old, "done"); err != nil || live().ResourceVersion == version {
		t.Errorf("a call after the interval must wake again: %v", err)
	}
	gone := configMap(nil)
	gone.Name = "gone"
	if _, err := Wake(t.Context(), c, gone, "done"); err != nil {
		t.Errorf("an object that is gone needs no waking: %v", err)
	}
}
