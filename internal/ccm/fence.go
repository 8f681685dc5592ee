package ccm

import (
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	cloudproviderapi "k8s.io/cloud-provider/api"
	taints "k8s.io/cloud-provider/node/helpers"

	mkev1 "magalu.cloud/mke/api/v1"
)

var (
	// outOfService tells Kubernetes that nothing on the Node runs: volumes may be detached without asking its kubelet. The value tells
	// our taint from an administrator's.
	outOfService = corev1.Taint{Key: corev1.TaintNodeOutOfService, Value: "vm-stopped", Effect: corev1.TaintEffectNoExecute}
	shutdown     = corev1.Taint{Key: cloudproviderapi.TaintNodeShutdown, Effect: corev1.TaintEffectNoSchedule}
)

// suspend makes known that the Node does not work at present. Its Pods stay: they go on when the VM comes back.
func (h *health) suspend(ctx context.Context, node *corev1.Node, reason, message string) error {
	h.tell(node, corev1.EventTypeNormal, reason, message)
	if err := h.setConditions(ctx, node, notReady(reason, message)); err != nil {
		return err
	}
	return h.eachPod(ctx, node, h.markNotReady)
}

// fence gives up what runs on a Node whose VM is proven not to run. Each step may be repeated; the condition comes first, because by it
// the Node is found again, whoever dies.
func (h *health) fence(ctx context.Context, node *corev1.Node, reason, message string) error {
	h.tell(node, corev1.EventTypeWarning, reason, message+": its Pods are moved to other Nodes")
	stopped := corev1.NodeCondition{Type: mkev1.VMStoppedNodeCondition, Status: corev1.ConditionTrue, Reason: reason, Message: message}
	if err := h.setConditions(ctx, node, notReady(reason, message), stopped); err != nil {
		return err
	}
	if err := taints.AddOrUpdateTaintOnNode(h.client, node.Name, &outOfService, &shutdown); err != nil {
		return err
	}
	return h.eachPod(ctx, node, h.giveUp)
}

// remove fences a Node whose VM is gone and deletes it once its volumes are detached.
func (h *health) remove(ctx context.Context, node *corev1.Node) (time.Duration, error) {
	if err := h.fence(ctx, node, "VMGone", "The VM does not exist any more"); err != nil {
		return 0, err
	}
	attached, err := h.attachments(ctx, node.Name)
	if err != nil {
		return 0, err
	}
	if attached > 0 && h.fencedFor(node) < detachLimit {
		return changingRecheck, nil
	}
	h.tell(node, corev1.EventTypeNormal, "DeletingNode", "The Node is deleted because its VM does not exist any more")
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &node.UID}}
	if err := h.client.CoreV1().Nodes().Delete(ctx, node.Name, options); err != nil && !apierrors.IsNotFound(err) {
		return 0, err
	}
	return 0, h.eachPod(ctx, node, h.kill) // what tolerated the taint
}

// release makes a Node whose VM runs again an ordinary one. Ready is the kubelet's to say.
func (h *health) release(ctx context.Context, node *corev1.Node) error {
	if err := taints.RemoveTaintOffNode(h.client, node.Name, nil, ownTaints(node)...); err != nil {
		return err
	}
	h.tell(node, corev1.EventTypeNormal, "VMRunning", "The VM runs again")
	return h.setConditions(ctx, node, corev1.NodeCondition{Type: mkev1.VMStoppedNodeCondition, Status: corev1.ConditionFalse, Reason: "VMRunning", Message: "The VM runs"})
}

// ownTaints are those taints of a Node that fence has set.
func ownTaints(node *corev1.Node) []*corev1.Taint {
	own := []*corev1.Taint{&shutdown}
	for _, t := range node.Spec.Taints {
		if t.MatchTaint(&outOfService) && t.Value == outOfService.Value {
			own = append(own, &outOfService)
		}
	}
	return own
}

func notReady(reason, message string) corev1.NodeCondition {
	return corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionUnknown, Reason: reason, Message: message}
}

// setConditions changes conditions that are different from what is wanted.
func (h *health) setConditions(ctx context.Context, node *corev1.Node, wanted ...corev1.NodeCondition) error {
	var changed []corev1.NodeCondition
	for _, c := range wanted {
		if hasCondition(node, c.Type, c.Status) {
			continue
		}
		c.LastHeartbeatTime = metav1.NewTime(h.now())
		c.LastTransitionTime = c.LastHeartbeatTime
		changed = append(changed, c)
	}
	if len(changed) == 0 {
		return nil
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": node.UID},
		"status":   map[string]any{"conditions": changed},
	})
	if err != nil {
		return err
	}
	_, err = h.client.CoreV1().Nodes().PatchStatus(ctx, node.Name, patch)
	return err
}

// fencedFor returns how long the Node has been known not to run.
func (h *health) fencedFor(node *corev1.Node) time.Duration {
	for _, c := range node.Status.Conditions {
		if c.Type == mkev1.VMStoppedNodeCondition && c.Status == corev1.ConditionTrue {
			return h.now().Sub(c.LastTransitionTime.Time)
		}
	}
	return 0
}

// attachments counts the volumes that are attached to a Node.
func (h *health) attachments(ctx context.Context, node string) (int, error) {
	list, err := h.client.StorageV1().VolumeAttachments().List(ctx, metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, a := range list.Items {
		if a.Spec.NodeName == node {
			n++
		}
	}
	return n, nil
}
