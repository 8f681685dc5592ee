package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mkeapi/db"
	"magalu.cloud/mke/internal/mkeapi/price"
	"magalu.cloud/mke/internal/mkeapi/record"
)

const (
	// applyTimeout bounds the work on one cluster; the lease outlives it, so that no two workers touch a cluster at once.
	applyTimeout  = 8 * time.Second
	leaseDuration = 10 * time.Second
	// pollInterval is how long a lost notification can delay work.
	pollInterval = time.Minute
	maxBackoff   = 30 * time.Second
)

// Worker carries outbox rows to the management cluster. Several may run, in one process or in many.
type Worker struct {
	Store *record.Store
	Kube  client.Client // uncached: what it says about existence decides about deletion
	Log   *slog.Logger
	// Prices tell the autoscaler what a node costs.
	Prices *price.Table
}

// Run works until ctx ends. It wakes up by notification; errors of the database are retried.
func (w *Worker) Run(ctx context.Context, workers int) error {
	wake := make(chan struct{}, workers)
	for range workers {
		go w.loop(ctx, wake)
	}
	for ctx.Err() == nil {
		woken := func() { kick(wake) }
		if err := w.Store.Listen(ctx, record.Channel, woken, func(string) { woken() }); err != nil && ctx.Err() == nil {
			w.Log.Error("listen for work", "error", err)
			sleep(ctx, time.Second)
		}
	}
	return nil
}

func kick(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (w *Worker) loop(ctx context.Context, wake <-chan struct{}) {
	for ctx.Err() == nil {
		worked, err := w.Step(ctx)
		if err != nil && ctx.Err() == nil {
			w.Log.Error("take work from the outbox", "error", err)
			sleep(ctx, time.Second)
		}
		if worked || err != nil {
			continue
		}
		due, err := w.Store.NextDue(ctx, pollInterval)
		if err != nil {
			due = time.Second
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-time.After(max(due, 10*time.Millisecond)):
		}
	}
}

// Step works on one cluster that is due and says whether there was one. Errors of the management cluster are not returned: the row
// stays and is due again later.
func (w *Worker) Step(ctx context.Context) (worked bool, err error) {
	row, err := w.Store.Lease(ctx, leaseDuration)
	if err != nil || row == nil {
		return false, err
	}
	applyCtx, cancel := context.WithTimeout(ctx, applyTimeout)
	defer cancel()
	err = w.converge(applyCtx, row)
	if err != nil && ctx.Err() != nil { // this replica ends: the next one goes on at once
		return true, w.Store.Release(context.WithoutCancel(ctx), row)
	}
	if err != nil {
		w.Log.Error("apply cluster", "cluster_id", row.ClusterID, "attempt", row.Attempts+1, "error", err)
		ctx := context.WithoutCancel(ctx)
		explained := w.Store.Explain(ctx, row.ClusterID, "waiting for the management cluster, which does not accept the change yet")
		return true, errors.Join(explained, w.Store.Retry(ctx, row, backoff(row.Attempts)))
	}
	return true, w.Store.Finish(ctx, row)
}

// backoff grows from about half a second to maxBackoff.
func backoff(attempts int32) time.Duration {
	d := min(time.Second<<min(attempts, 10), maxBackoff)
	return d/2 + rand.N(d/2)
}

func (w *Worker) converge(ctx context.Context, row *db.Outbox) error {
	c, err := w.Store.LoadCluster(ctx, row.ClusterID)
	if err != nil {
		return err
	}
	switch {
	case c.DeletedAt != nil:
		return nil
	case c.State == record.StateDeleting:
		return w.remove(ctx, c)
	default:
		return w.apply(ctx, c)
	}
}

func (w *Worker) apply(ctx context.Context, c *record.Cluster) error {
	if err := w.ssa(ctx, namespaceOf(c), corev1.SchemeGroupVersion.WithKind("Namespace")); err != nil {
		return err
	}
	if err := w.ssa(ctx, mgcCluster(c), mkev1.GroupVersion.WithKind("MGCCluster")); err != nil {
		return err
	}
	for name, choice := range c.Addons {
		if err := w.ssa(ctx, mgcAddon(c, name, choice), mkev1.GroupVersion.WithKind("MGCAddon")); err != nil {
			return err
		}
	}
	for i := range c.Pools {
		p := &c.Pools[i]
		if p.State != record.StateDeleting {
			pool := mgcNodePool(c, p)
			pool.Spec.PricePerHour = w.Prices.PerHour(p.Flavor)
			if err := w.ssa(ctx, pool, mkev1.GroupVersion.WithKind("MGCNodePool")); err != nil {
				return err
			}
			continue
		}
		gone, err := w.deleted(ctx, mgcNodePool(c, p))
		if err != nil {
			return err
		}
		if gone {
			if err := w.Store.NodePoolGone(ctx, c.ID, p.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove takes the next step of a deletion. The events of what ends put the cluster into the outbox again.
func (w *Worker) remove(ctx context.Context, c *record.Cluster) error {
	if c.DeleteVolumes {
		if err := w.deleteVolumesToo(ctx, c); err != nil {
			return err
		}
	}
	gone, err := w.deleted(ctx, mgcCluster(c))
	if err != nil || !gone {
		return err
	}
	gone, err = w.deleted(ctx, namespaceOf(c))
	if err != nil || !gone {
		return err
	}
	return w.Store.ClusterGone(ctx, c.ID)
}

// deleteVolumesToo says so on the resource, before its deletion starts.
func (w *Worker) deleteVolumesToo(ctx context.Context, c *record.Cluster) error {
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"deletion":{"volumes":"`+string(mkev1.DeleteData)+`"}}}`))
	if err := client.IgnoreNotFound(w.Kube.Patch(ctx, mgcCluster(c), patch)); err != nil {
		return fmt.Errorf("ask for the deletion of the volumes: %w", err)
	}
	return nil
}

// deleted asks for the deletion of an object and says whether it is gone.
func (w *Worker) deleted(ctx context.Context, obj client.Object) (bool, error) {
	if err := client.IgnoreNotFound(w.Kube.Delete(ctx, obj)); err != nil && !apierrors.IsConflict(err) {
		return false, fmt.Errorf("delete %T %s: %w", obj, obj.GetName(), err)
	}
	err := w.Kube.Get(ctx, client.ObjectKeyFromObject(obj), obj)
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	return false, err
}

func (w *Worker) ssa(ctx context.Context, obj runtime.Object, gvk schema.GroupVersionKind) error {
	u, err := applyable(obj, gvk)
	if err != nil {
		return err
	}
	err = w.Kube.Apply(ctx, client.ApplyConfigurationFromUnstructured(u), client.FieldOwner(FieldOwner), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", gvk.Kind, u.GetName(), err)
	}
	return nil
}
