package addon

import (
	"context"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/addons"
	"magalu.cloud/mke/internal/operator/workload"
)

type (
	// pair are the clients of both locations.
	pair map[mkev1.AddonLocation]client.Client
	// located are an addon's objects by location.
	located map[mkev1.AddonLocation][]*unstructured.Unstructured
)

// targets are the clusters that addons have objects in. Each is watched, so that a reconciliation happens when somebody touches
// an addon's object; what the operator itself wrote is told apart by its version.
type targets struct {
	workload *workload.Connector
	changed  chan<- event.GenericEvent
	done     chan struct{}
	// management is watched for all clusters at once.
	management *watcher

	mu       sync.Mutex
	clusters map[client.ObjectKey]*cluster
	addons   map[client.ObjectKey]*record
}

// cluster is a connected customer cluster.
type cluster struct {
	*workload.Client
	*watcher
}

// record is what this process knows about an addon's objects.
type record struct {
	// due is when they are written again, zero for now.
	due time.Time
	// touches counts changes by others.
	touches int
	marks   map[mkev1.AddonObject]mark
}

// mark tells one content of an object from another.
type mark struct {
	generation int64
	version    string
}

func markOf(o client.Object) mark {
	if g := o.GetGeneration(); g > 0 { // it does not change with the status
		return mark{generation: g}
	}
	return mark{version: o.GetResourceVersion()}
}

func newTargets(connector *workload.Connector, management *watcher, changed chan<- event.GenericEvent) *targets {
	t := &targets{
		workload: connector, changed: changed, done: make(chan struct{}), management: management,
		clusters: map[client.ObjectKey]*cluster{}, addons: map[client.ObjectKey]*record{},
	}
	management.seen = func(o seen) { t.see(client.ObjectKey{Namespace: o.Namespace, Name: o.addon}, o) }
	return t
}

// Start stops all watches when the manager ends.
func (t *targets) Start(ctx context.Context) error {
	<-ctx.Done()
	close(t.done)
	t.mu.Lock()
	keys := make([]client.ObjectKey, 0, len(t.clusters))
	for key := range t.clusters {
		keys = append(keys, key)
	}
	t.mu.Unlock()
	for _, key := range keys {
		t.drop(key)
	}
	t.management.stop()
	return nil
}

// connect returns clients of a cluster and of the management cluster. One connection serves all addons of a cluster.
func (t *targets) connect(ctx context.Context, key client.ObjectKey) (pair, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.clusters[key]
	var known *workload.Client
	if old != nil {
		known = old.Client
	}
	c, err := t.workload.Reconnect(ctx, key, known)
	if err != nil {
		return nil, err
	}
	if c != known {
		w, err := newWatcher(c.Config, c.Watching(), c.Client)
		if err != nil {
			return nil, err
		}
		w.seen = func(o seen) { t.see(client.ObjectKey{Namespace: key.Namespace, Name: o.addon}, o) }
		if old != nil {
			old.close()
		}
		t.clusters[key] = &cluster{c, w}
	}
	return pair{mkev1.InCluster: c.Client, mkev1.InManagement: t.management.client}, nil
}

// watcherOf a location; nil if the cluster is not connected.
func (t *targets) watcherOf(location mkev1.AddonLocation, key client.ObjectKey) *watcher {
	if location == mkev1.InManagement {
		return t.management
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clusters[key]; c != nil {
		return c.watcher
	}
	return nil
}

func (c *cluster) close() {
	c.stop()
	c.Close()
}

// drop ends the watches of a cluster.
func (t *targets) drop(key client.ObjectKey) {
	t.mu.Lock()
	c := t.clusters[key]
	delete(t.clusters, key)
	t.mu.Unlock()
	if c != nil {
		c.close()
	}
}

func (t *targets) forget(addon client.ObjectKey) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.addons, addon)
}

// untouchedFor is how long the objects may stay as they are, 0 or less if they must be written.
func (t *targets) untouchedFor(addon client.ObjectKey) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rec := t.addons[addon]; rec != nil && !rec.due.IsZero() {
		return time.Until(rec.due)
	}
	return 0
}

// beginWrite returns what endWrite needs to notice changes of others in between.
func (t *targets) beginWrite(addon client.ObjectKey) (touches int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.addons[addon] == nil {
		t.addons[addon] = &record{}
	}
	return t.addons[addon].touches
}

// endWrite takes note of what was written, to be written again at due, and watches it from now on.
func (t *targets) endWrite(ctx context.Context, addon, cluster client.ObjectKey, objects located, touches int, due time.Time) error {
	marks := map[mkev1.AddonObject]mark{}
	for location, written := range objects {
		for i, o := range addons.Inventory(location, written) {
			marks[o] = markOf(written[i])
		}
	}
	t.mu.Lock()
	rec := t.addons[addon]
	rec.marks, rec.due = marks, time.Time{}
	if rec.touches == touches {
		rec.due = due
	}
	t.mu.Unlock()
	for location, written := range objects {
		w := t.watcherOf(location, cluster)
		if w == nil {
			return nil // the cluster is being deleted
		}
		for _, o := range written {
			if err := w.watch(ctx, location, o.GroupVersionKind()); err != nil {
				return fmt.Errorf("watch %s: %w", o.GetKind(), err)
			}
		}
	}
	return nil
}

// see is called for every event of an object with an addon's label.
func (t *targets) see(addon client.ObjectKey, o seen) {
	t.mu.Lock()
	rec := t.addons[addon]
	touched := false
	if rec != nil {
		written, ours := rec.marks[o.AddonObject]
		touched = ours && (o.deleted || written != o.mark)
		if touched {
			rec.touches++
			rec.due = time.Time{}
		}
	}
	t.mu.Unlock()
	if touched || o.deleted || o.workload {
		select {
		case t.changed <- event.GenericEvent{Object: &mkev1.MGCAddon{ObjectMeta: metav1.ObjectMeta{Namespace: addon.Namespace, Name: addon.Name}}}:
		case <-t.done:
		}
	}
}
