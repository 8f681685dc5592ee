package machine

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

const (
	callTimeout = 10 * time.Second // of one request
	retryPause  = 5 * time.Second  // after a heartbeat that did not renew the lease
)

// kubelet is the part of a machine that speaks with the API server as its Node.
type kubelet struct {
	*machine
	set settings

	api atomic.Pointer[api] // another one after each renewal of the certificate

	// Only the heartbeat's:
	id       identity
	node     corev1.Node // name, UID and conditions
	lease    *coordinationv1.Lease
	born     time.Time // of the registration
	status   corev1.NodeStatus
	reportAt time.Time
	renewAt  time.Time // of the certificate
}

func newKubelet(m *machine, id identity) (*kubelet, error) {
	set, err := id.settings()
	if err != nil {
		return nil, fmt.Errorf("the kubelet's configuration: %w", err)
	}
	k := &kubelet{machine: m, set: set, status: nodeStatus(m.spec, set)}
	return k, k.adopt(id)
}

// adopt uses an identity from now on. Requests under way end with the one before.
func (k *kubelet) adopt(id identity) error {
	next, err := id.connect(k.spec)
	if err != nil {
		return err
	}
	if k.renewAt, err = id.renewAt(rand.Float64()); err != nil {
		return err
	}
	k.id = id
	if old := k.api.Swap(next); old != nil {
		old.close()
	}
	return nil
}

// run is the kubelet's life until ctx is done.
func (k *kubelet) run(ctx context.Context) {
	defer func() { k.api.Load().close() }()
	retry(ctx, k.console, "registering the Node", k.register)
	if ctx.Err() != nil {
		return
	}
	k.console.say("Node %s is registered", k.id.Node)
	pods := newPods(k)
	defer pods.stop()
	k.wait.Go(func() { pods.watch(ctx) })
	k.heartbeats(ctx)
}

// register makes the Node, or takes up the one that is there.
func (k *kubelet) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	core, node := k.api.Load().core, newNode(k.spec, k.id, k.set)
	node.Status.NodeInfo.BootID = k.status.NodeInfo.BootID
	k.born = time.Now()
	node.Status.Conditions = conditions(nil, k.ready(k.behavior()), metav1.Now())
	var made corev1.Node
	err := core.Post().Resource("nodes").Body(node).Do(ctx).Into(&made)
	if apierrors.IsAlreadyExists(err) {
		err = core.Get().Resource("nodes").Name(node.Name).Do(ctx).Into(&made)
		k.born = made.CreationTimestamp.Time
		k.reportAt = time.Time{}
	} else {
		k.reportAt = time.Now().Add(k.jittered(k.set.statusReport))
	}
	if err != nil {
		return err
	}
	k.node = corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: made.Name, UID: made.UID}}
	k.node.Status.Conditions = made.Status.Conditions
	return nil
}

func (k *kubelet) jittered(d time.Duration) time.Duration {
	return time.Duration((0.9 + 0.2*rand.Float64()) * float64(d))
}

func (k *kubelet) ready(b Behavior) bool {
	return !b.NotReady && time.Since(k.born) >= ms(b.ReadyAfterMS, 0)
}

// heartbeats renews the lease, and reports the status when it changed or after a while, in the kubelet's rhythm.
func (k *kubelet) heartbeats(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-k.changed:
		}
		pause := k.jittered(k.set.leaseDuration / 4)
		b := k.behavior()
		if !b.Silent {
			if !k.beat(ctx, b) {
				pause = min(pause, k.jittered(retryPause))
			}
			if left := time.Until(k.born.Add(ms(b.ReadyAfterMS, 0))); left > 0 && !b.NotReady {
				pause = min(pause, left+time.Millisecond)
			}
		}
		timer.Reset(pause)
	}
}

// beat tells whether the lease was renewed.
func (k *kubelet) beat(ctx context.Context, b Behavior) (renewed bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	now := time.Now()
	renewed = k.attempt("renewing the lease", k.renewLease(ctx))
	if ready := k.ready(b); ready != isReady(k.node.Status.Conditions) || !now.Before(k.reportAt) {
		k.attempt("reporting the status", k.report(ctx, ready))
	}
	if !now.Before(k.renewAt) {
		k.attempt("renewing the certificate", k.renewCertificate(ctx))
	}
	return renewed
}

// attempt is a failure's end: the next heartbeat tries again.
func (k *kubelet) attempt(what string, err error) (ok bool) {
	if err != nil {
		k.host.Logger.Debug("hollow: a heartbeat failed", "node", k.id.Node, "what", what, "error", err)
	}
	return err == nil
}

func isReady(list []corev1.NodeCondition) bool {
	for _, c := range list {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (k *kubelet) report(ctx context.Context, ready bool) error {
	status := k.status
	status.Conditions = conditions(k.node.Status.Conditions, ready, metav1.Now())
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	err = k.api.Load().core.Patch(types.StrategicMergePatchType).Resource("nodes").Name(k.id.Node).SubResource("status").Body(patch).Do(ctx).Error()
	if err == nil {
		k.node.Status.Conditions = status.Conditions
		k.reportAt = time.Now().Add(k.jittered(k.set.statusReport))
	}
	return err
}

func (k *kubelet) renewLease(ctx context.Context) error {
	leases := k.api.Load().coordination
	now := metav1.NowMicro()
	if k.lease == nil {
		var lease coordinationv1.Lease
		err := leases.Get().Namespace(corev1.NamespaceNodeLease).Resource("leases").Name(k.id.Node).Do(ctx).Into(&lease)
		if apierrors.IsNotFound(err) {
			lease = coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: k.id.Node, Namespace: corev1.NamespaceNodeLease,
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: k.id.Node, UID: k.node.UID}}}}
			k.fill(&lease, now)
			var made coordinationv1.Lease
			if err := leases.Post().Namespace(corev1.NamespaceNodeLease).Resource("leases").Body(&lease).Do(ctx).Into(&made); err != nil {
				return err
			}
			k.lease = &made
			return nil
		}
		if err != nil {
			return err
		}
		k.lease = &lease
	}
	k.fill(k.lease, now)
	var renewed coordinationv1.Lease
	err := leases.Put().Namespace(corev1.NamespaceNodeLease).Resource("leases").Name(k.id.Node).Body(k.lease).Do(ctx).Into(&renewed)
	if err != nil {
		k.lease = nil // look again
		return err
	}
	renewed.ManagedFields = nil
	k.lease = &renewed
	return nil
}

func (k *kubelet) fill(lease *coordinationv1.Lease, now metav1.MicroTime) {
	lease.Spec.HolderIdentity = ptr.To(k.id.Node)
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(k.set.leaseDuration / time.Second))
	lease.Spec.RenewTime = &now
}

// renewCertificate asks for the next certificate with the present one. An interrupted try begins anew: the old one is still valid.
func (k *kubelet) renewCertificate(ctx context.Context) error {
	next := k.id
	var err error
	if next.Key, err = newKey(); err != nil {
		return err
	}
	if next.Cert, err = k.api.Load().clientCertificate(ctx, next.Node, next.Key); err != nil {
		return err
	}
	if err := k.folder.write(identityFile, next); err != nil {
		return err
	}
	k.console.say("the kubelet's certificate is renewed")
	return k.adopt(next)
}
