package ccm

import (
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// defaultLease is a kubelet's lease duration where none is set.
const defaultLease = 40

// heartbeats remembers when kubelets were last heard of. Times are of this process's clock only: a node's own may be wrong.
type heartbeats struct {
	now func() time.Time

	mu    sync.Mutex
	beats map[string]heartbeat
}

type heartbeat struct {
	renewed time.Time // as the kubelet wrote it
	seen    time.Time
	// patience is how long the kubelet may be silent.
	patience time.Duration
}

func newHeartbeats(now func() time.Time) *heartbeats {
	return &heartbeats{now: now, beats: map[string]heartbeat{}}
}

// record is called with every Lease that is seen.
func (h *heartbeats) record(lease *coordinationv1.Lease) {
	renewed := ptr.Deref(lease.Spec.RenewTime, ptr.Deref(lease.Spec.AcquireTime, metav1.MicroTime(lease.CreationTimestamp))).Time
	h.mu.Lock()
	defer h.mu.Unlock()
	if last, ok := h.beats[lease.Name]; ok && last.renewed.Equal(renewed) {
		return // an update by somebody else, or a list read again
	}
	h.beats[lease.Name] = heartbeat{renewed, h.now(), patience(ptr.Deref(lease.Spec.LeaseDurationSeconds, defaultLease))}
}

// silence returns how long a Node's kubelet has been silent, and how much longer it may be; that is negative once it was silent for
// too long. A Node that was never heard of counts from now.
func (h *heartbeats) silence(node string) (silent, left time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	beat, ok := h.beats[node]
	if !ok {
		beat = heartbeat{seen: h.now(), patience: patience(defaultLease)}
		h.beats[node] = beat
	}
	silent = h.now().Sub(beat.seen)
	return silent, beat.patience - silent
}

func (h *heartbeats) forget(node string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.beats, node)
}

// patience with a kubelet: it renews its lease four times in the lease's duration; one renewal may be late by two fifths.
func patience(leaseSeconds int32) time.Duration {
	return time.Duration(leaseSeconds) * time.Second / 4 * 7 / 5
}
