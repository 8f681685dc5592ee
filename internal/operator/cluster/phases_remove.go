package cluster

import (
	"context"
	"fmt"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/operator/object"
	"magalu.cloud/mke/internal/operator/removal"
)

// removeEarly removes objects in the cloud while machines and control plane go, as soon as nothing makes them any more.
func (r *Reconciler) removeEarly(stopped bool) phase {
	return func(ctx context.Context, s *scope) (ctrl.Result, error) {
		if !stopped {
			return ctrl.Result{RequeueAfter: leftoverRecheck}, nil
		}
		return r.removeObjects(ctx, s, false)
	}
}

// removeObjects takes the next step in the removal of what the cluster made in the cloud: load balancers at once, volumes when the
// machines are gone, to which they are attached. The result is zero when nothing is left to do; the last look trusts nothing that
// was seen before.
func (r *Reconciler) removeObjects(ctx context.Context, s *scope, last bool) (ctrl.Result, error) {
	_, swept := r.swept.Load(s.mgc.UID)
	machinesGone := last || (s.workers == 0 && len(s.machines) == 0)
	if swept && !machinesGone {
		return ctrl.Result{}, nil
	}
	// The cache may lack what was put on the lists a moment ago.
	live, err := object.Get(ctx, r.Live, client.ObjectKeyFromObject(s.mgc), &mkev1.MGCCluster{})
	if err != nil || live == nil {
		return ctrl.Result{}, err
	}
	s.mgc.Status.Deletion = live.Status.Deletion
	c, err := r.Cloud(s.mgc.Spec.TenantID)
	if err != nil {
		return ctrl.Result{}, err
	}
	step := removal.New(c, s.mgc.Spec.ClusterID, &s.mgc.Status.Deletion)
	left := 0
	if !swept || last {
		if left, err = step.LoadBalancers(ctx); err != nil {
			return removalFailed(s, err)
		}
		if left > 0 {
			s.removing = fmt.Sprintf("removing load balancers: %d left", left)
		} else {
			r.swept.Store(s.mgc.UID, true)
		}
	}
	if machinesGone {
		n, err := r.removeStorage(ctx, s, step)
		if err != nil {
			return removalFailed(s, err)
		}
		left += n
	}
	return ctrl.Result{RequeueAfter: r.nextLook(s, left, step.Recorded())}, nil
}

func (r *Reconciler) removeStorage(ctx context.Context, s *scope, step *removal.Removal) (left int, err error) {
	if s.mgc.Spec.Deletion.Volumes != mkev1.DeleteData {
		return 0, step.KeepStorage(ctx)
	}
	volumes, snapshots, err := step.DeleteStorage(ctx)
	switch {
	case volumes > 0:
		s.removing = fmt.Sprintf("removing volumes: %d left", volumes)
	case snapshots > 0:
		s.removing = fmt.Sprintf("removing snapshots: %d left", snapshots)
	}
	return volumes + snapshots, err
}

// nextLook is at once when the lists have grown: they are saved at the end of this reconciliation.
func (r *Reconciler) nextLook(s *scope, left int, recorded bool) time.Duration {
	pause := r.Poller.Next(ctrl.Request{NamespacedName: client.ObjectKeyFromObject(s.mgc)}, left > 0)
	if recorded {
		return time.Millisecond
	}
	return pause
}

// removalFailed asks again later. "Cannot tell" is not "nothing left".
func removalFailed(s *scope, err error) (ctrl.Result, error) {
	s.removalErr = err
	return cloudFailed(err)
}
