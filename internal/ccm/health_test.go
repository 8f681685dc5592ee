package ccm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc/mgctest"
	"magalu.cloud/mke/internal/testkube"
)

// liveNodes is a lister without a cache.
type liveNodes struct{ *fake.Clientset }

func (l liveNodes) Get(name string) (*corev1.Node, error) {
	return l.CoreV1().Nodes().Get(context.Background(), name, metav1.GetOptions{})
}

func (l liveNodes) List(labels.Selector) ([]*corev1.Node, error) {
	return nil, apierrors.NewNotFound(schema.GroupResource{}, "")
}

// world is a cluster with a control plane, one worker "n" with Pods, its cloud and its clock.
type world struct {
	*testing.T
	*health
	cloud  *mgctest.Cloud
	clock  *clock
	vmID   string
	events *record.FakeRecorder
}

func newWorld(t *testing.T) *world {
	cloud := mgctest.New(t)
	cloud.AddInstance("control-plane", "br-se1-a", "BV2-4-40", label)
	vm := cloud.AddInstance("n", "br-se1-a", "BV2-4-40", label)
	provider, clock := newTestProvider(t, cloud)
	n := node("n", "magalu://br-se1-a/"+vm.ID)
	n.UID = "node-uid"
	n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	client := testkube.NewClientset(n,
		pod("web"), pod("job", func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }),
		pod("daemon", func(p *corev1.Pod) { p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} }),
		pod("static", func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }))
	events := record.NewFakeRecorder(100)
	h := &health{client: client, nodes: liveNodes{client}, vm: provider.instance, beats: newHeartbeats(clock.now), recorder: events, now: clock.now, told: map[string]string{}}
	return &world{t, h, cloud, clock, vm.ID, events}
}

func pod(name string, change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PodSpec{NodeName: "n"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}}
	for _, c := range change {
		c(p)
	}
	return p
}

// beat is a kubelet's renewal; leases last 20 s.
func (w *world) beat() {
	w.beats.record(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "n"},
		Spec: coordinationv1.LeaseSpec{RenewTime: ptr.To(metav1.NewMicroTime(w.clock.now())), LeaseDurationSeconds: ptr.To[int32](20)}})
}

// pass lets time pass in which nothing is heard of the kubelet, and the Node is looked at whenever that is due.
func (w *world) pass(d time.Duration) {
	w.Helper()
	for end := w.clock.Add(d); ; {
		again, err := w.sync(w.Context(), "n")
		if err != nil {
			w.Fatal(err)
		}
		if again == 0 || !w.clock.Add(again).Before(end) {
			w.clock.Time = end
			return
		}
		w.clock.Time = w.clock.Add(again)
	}
}

func (w *world) node() *corev1.Node {
	w.Helper()
	n, err := w.nodes.Get("n")
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) gone() bool {
	_, err := w.nodes.Get("n")
	return apierrors.IsNotFound(err)
}

// pods shows the Pods left and whether they are endpoints.
func (w *world) pods() string {
	list, err := w.client.CoreV1().Pods("").List(w.Context(), metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, p := range list.Items {
		ready := ""
		if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }) {
			ready = "+"
		}
		out = append(out, p.Name+ready)
	}
	slices.Sort(out)
	return fmt.Sprint(out)
}

const allReady = "[daemon+ job+ static+ web+]"

func (w *world) expect(ready corev1.ConditionStatus, fenced bool, pods string) {
	w.Helper()
	n := w.node()
	isFenced := hasCondition(n, mkev1.VMStoppedNodeCondition, corev1.ConditionTrue)
	tainted := slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == corev1.TaintNodeOutOfService })
	if !hasCondition(n, corev1.NodeReady, ready) || isFenced != fenced || tainted != fenced {
		w.Errorf("conditions %v, taints %v", n.Status.Conditions, n.Spec.Taints)
	}
	if got := w.pods(); got != pods {
		w.Errorf("pods %s, want %s", got, pods)
	}
}

func TestIdleClusterCostsNothing(t *testing.T) {
	w := newWorld(t)
	for range 3600 / 5 {
		w.beat()
		w.pass(5 * time.Second)
	}
	if calls := w.cloud.Calls(); len(calls) > 0 {
		t.Errorf("%d calls in an hour", len(calls))
	}
	w.expect(corev1.ConditionTrue, false, allReady)
}

// TestSilence: what a silent kubelet means is only for the cloud to say.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		name, state, status string
		fault               *mgctest.Fault
		ready               corev1.ConditionStatus
		fenced              bool
		pods                string
		calls               int // at most, in the first minute
	}{
		{name: "the VM runs", state: "running", status: "completed", ready: "True", pods: allReady, calls: 8},
		{name: "stopped", state: "stopped", status: "completed", ready: "Unknown", fenced: true, pods: "[daemon job+ static]", calls: 8},
		{name: "stopped for a failure", state: "stopped", status: "starting_error", ready: "Unknown", fenced: true, pods: "[daemon job+ static]", calls: 8},
		{name: "rebooting", state: "running", status: "rebooting", ready: "Unknown", pods: "[daemon job static web]", calls: 61},
		{name: "being deleted", state: "running", status: "deleting", ready: "Unknown", pods: "[daemon job static web]", calls: 61},
		{name: "being started", state: "stopped", status: "starting_pending", ready: "Unknown", pods: "[daemon job static web]", calls: 61},
		{name: "suspended", state: "suspended", status: "completed", ready: "Unknown", pods: "[daemon job static web]", calls: 8},
		{name: "another operation", state: "stopped", status: "retyping", ready: "True", pods: allReady, calls: 8},
		{name: "broken", state: "error", status: "completed", ready: "True", pods: allReady, calls: 8},
		{name: "unknown state", state: "hibernating", status: "completed", ready: "True", pods: allReady, calls: 8},
		{name: "cloud down", fault: &mgctest.Fault{Status: 500}, ready: "True", pods: allReady, calls: 30},
		{name: "cloud answers nothing", fault: &mgctest.Fault{}, ready: "True", pods: allReady, calls: 30},
		{name: "429 storm", fault: &mgctest.Fault{Status: 429}, ready: "True", pods: allReady, calls: 8},
		{name: "429 with a time", fault: &mgctest.Fault{Status: 429, RetryAfter: 20 * time.Second}, ready: "True", pods: allReady, calls: 4},
		{name: "key refused", fault: &mgctest.Fault{Status: 401}, ready: "True", pods: allReady, calls: 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // the client of the cloud pauses between tries
			w := newWorld(t)
			w.beat()
			if tt.fault != nil {
				w.cloud.Inject(*tt.fault)
			} else {
				w.cloud.SetInstance(w.vmID, tt.state, tt.status)
			}
			w.pass(6 * time.Second)
			w.expect(corev1.ConditionTrue, false, allReady)
			w.pass(2 * time.Second)
			w.expect(tt.ready, tt.fenced, tt.pods)
			w.pass(time.Minute)
			w.expect(tt.ready, tt.fenced, tt.pods)
			if calls := len(w.cloud.Calls()); calls > tt.calls {
				t.Errorf("%d calls in a minute, want at most %d", calls, tt.calls)
			}
		})
	}
}

func TestGone(t *testing.T) {
	w := newWorld(t)
	w.beat()
	w.cloud.RemoveInstance(w.vmID)
	w.pass(8 * time.Second)
	if !w.gone() || w.pods() != "[]" {
		t.Errorf("the Node is gone: %v, pods %s", w.gone(), w.pods())
	}
}

// TestGoneWithVolume: the Node stays, out of service, until its volume is free, but not for ever.
func TestGoneWithVolume(t *testing.T) {
	for _, detached := range []bool{true, false} {
		w := newWorld(t)
		w.beat()
		attachment := &storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Spec: storagev1.VolumeAttachmentSpec{NodeName: "n"}}
		if _, err := w.client.StorageV1().VolumeAttachments().Create(t.Context(), attachment, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		w.cloud.RemoveInstance(w.vmID)
		w.pass(time.Minute)
		w.expect(corev1.ConditionUnknown, true, "[daemon job+ static]")
		if detached {
			if err := w.client.StorageV1().VolumeAttachments().Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			w.pass(2 * time.Second)
		} else {
			w.pass(detachLimit)
		}
		if !w.gone() {
			t.Errorf("detached %v: the Node is still there", detached)
		}
	}
}

func TestStoppedAndStartedAgain(t *testing.T) {
	w := newWorld(t)
	w.beat()
	w.cloud.SetInstance(w.vmID, "stopped", "completed")
	w.pass(8 * time.Second)
	// An administrator's own taint is not ours to remove.
	n := w.node()
	n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoSchedule})
	if _, err := w.client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.cloud.SetInstance(w.vmID, "running", "completed")
	w.pass(20 * time.Second)
	w.expect(corev1.ConditionUnknown, true, "[daemon job+ static]") // not before its kubelet is back
	w.beat()
	w.pass(time.Second)
	w.expect(corev1.ConditionUnknown, false, "[daemon job+ static]")
	if taints := w.node().Spec.Taints; len(taints) != 1 || taints[0].Key != "mine" {
		t.Errorf("taints %v", taints)
	}
}

// TestKilledInTheMiddle fails the API calls of one pass, each in turn; the next pass ends what was begun.
func TestKilledInTheMiddle(t *testing.T) {
	for calls := 0; ; calls++ {
		w := newWorld(t)
		w.beat()
		w.cloud.RemoveInstance(w.vmID)
		w.clock.Time = w.clock.Add(8 * time.Second)
		dying := newDying(w.client.(*fake.Clientset), calls)
		_, err := w.sync(t.Context(), "n")
		dying.heal()
		if err == nil {
			if calls < 5 {
				t.Errorf("a pass takes only %d calls", calls)
			}
			return
		}
		w.beats = newHeartbeats(w.clock.now) // a new process knows nothing
		w.told = map[string]string{}
		w.pass(20 * time.Second)
		// Once there is no Node, Kubernetes' own garbage collector sees to the last Pods.
		if left := w.pods(); !w.gone() || strings.Contains(left, "web") {
			t.Errorf("after %d calls: the Node is gone: %v, pods %s", calls, w.gone(), left)
		}
	}
}

func TestNoProviderIDProvesNothing(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	n.Spec.ProviderID = ""
	if _, err := w.client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.cloud.RemoveInstance(w.vmID)
	w.pass(time.Minute)
	w.expect(corev1.ConditionTrue, false, allReady)
}
