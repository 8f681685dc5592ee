package ccm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
	cloudprovider "k8s.io/cloud-provider"
	"k8s.io/klog/v2"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
)

const (
	// changingRecheck is the pause between two looks at a VM that is being stopped, started or deleted.
	changingRecheck = time.Second
	// cannotTellRecheck is the pause after the cloud could not say anything.
	cannotTellRecheck = 5 * time.Second
	// Looks at a Node that stays silent become rarer, in proportion to its silence.
	firstRecheck = 2 * time.Second
	lastRecheck  = time.Minute
	// detachLimit is how long a Node whose VM is gone is kept for its volumes to be detached: without the Node, Kubernetes would wait
	// 6 minutes.
	detachLimit = 2 * time.Minute
)

// health watches over Nodes. It asks the cloud about those whose kubelet has gone silent, and only what the cloud proves has
// consequences: a Node whose VM does not run is fenced, so that its Pods and volumes go elsewhere at once, and removed when the VM is
// gone. It replaces upstream's lifecycle controller, which waits for others to notice and deletes Nodes before their volumes are free.
type health struct {
	client   kubernetes.Interface
	nodes    corelisters.NodeLister
	vm       func(context.Context, *corev1.Node, time.Time) (*mgc.Instance, error)
	beats    *heartbeats
	recorder record.EventRecorder
	now      func() time.Time

	mu   sync.Mutex
	told map[string]string // last event by Node, so that none is repeated
}

// sync looks at one Node and returns when to look again.
func (h *health) sync(ctx context.Context, name string) (time.Duration, error) {
	node, err := h.nodes.Get(name)
	if apierrors.IsNotFound(err) {
		h.beats.forget(name)
		h.forget(name)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	silent, left := h.beats.silence(name)
	fenced := hasCondition(node, mkev1.VMStoppedNodeCondition, corev1.ConditionTrue)
	if left > 0 && !fenced {
		h.forget(name)
		return left, nil
	}
	state, err := h.vmState(ctx, node)
	if err != nil {
		h.tell(node, corev1.EventTypeWarning, "CloudUnavailable", "The kubelet is silent, and the cloud cannot say whether the VM runs: "+explain(err))
		klog.ErrorS(err, "Cannot tell whether the VM runs", "node", name)
		return cannotTellRecheck, nil
	}
	if left > 0 { // the kubelet is back
		if state != vmRunning {
			return left, nil
		}
		return left, h.release(ctx, node)
	}
	return h.silentNode(ctx, node, state, silent)
}

// vmState asks the cloud. The kubelet's silence is older than the list may be.
func (h *health) vmState(ctx context.Context, node *corev1.Node) (vmState, error) {
	i, err := h.vm(ctx, node, h.now().Add(-missTTL))
	switch {
	case errors.Is(err, cloudprovider.InstanceNotFound) && node.Spec.ProviderID == "":
		return vmRunning, errors.New("the Node has no provider id, and no VM has its name")
	case errors.Is(err, cloudprovider.InstanceNotFound):
		return vmGone, nil
	case err != nil:
		return vmRunning, err
	}
	return judge(i), nil
}

// silentNode acts on what the cloud says about the VM of a Node whose kubelet is silent.
func (h *health) silentNode(ctx context.Context, node *corev1.Node, state vmState, silent time.Duration) (time.Duration, error) {
	pause := min(max(silent/2, firstRecheck), lastRecheck)
	switch state {
	case vmChanging:
		return changingRecheck, h.suspend(ctx, node, "VMChanging", "The VM is being stopped, started or deleted")
	case vmSuspended:
		return pause, h.suspend(ctx, node, "VMSuspended", "The VM is suspended")
	case vmStopped:
		return pause, h.fence(ctx, node, "VMStopped", "The VM is stopped")
	case vmGone:
		return h.remove(ctx, node)
	}
	h.tell(node, corev1.EventTypeWarning, "KubeletSilent", fmt.Sprintf("The VM runs, but its kubelet has been silent for %s", silent.Round(time.Second)))
	return pause, nil
}

// tell records an event unless it is the Node's last one.
func (h *health) tell(node *corev1.Node, kind, reason, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.told[node.Name] == reason {
		return
	}
	h.told[node.Name] = reason
	klog.InfoS(message, "node", node.Name, "reason", reason)
	h.recorder.Event(node, kind, reason, message)
}

// explain says for people why the cloud cannot tell.
func explain(err error) string {
	var e *mgc.Error
	switch {
	case errors.As(err, &e):
		return fmt.Sprintf("it answers %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	case mgc.IsTransient(err) || errors.Is(err, context.DeadlineExceeded):
		return "it cannot be reached or does not answer"
	}
	return err.Error()
}

func (h *health) forget(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.told, node)
}

func hasCondition(node *corev1.Node, kind corev1.NodeConditionType, status corev1.ConditionStatus) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == kind {
			return c.Status == status
		}
	}
	return false
}
