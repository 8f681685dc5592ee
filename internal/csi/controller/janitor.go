package controller

import (
	"context"
	"log/slog"
	"time"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/mgc"
)

// janitorPeriod is how often the janitor looks without being asked to.
const janitorPeriod = 10 * time.Minute

// janitor removes snapshots through which volumes were cloned, once the clone is gone: the cloud does not let go of them earlier, and
// nobody else knows them then.
type janitor struct {
	storage cloud.Storage
	names   names
	locks   *driver.Locks
	wake    chan struct{}
}

// kick makes the janitor look soon.
func (j *janitor) kick() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (j *janitor) run(ctx context.Context) {
	ticker := time.NewTicker(janitorPeriod)
	defer ticker.Stop()
	for {
		if err := j.sweep(ctx); err != nil && ctx.Err() == nil {
			slog.Warn("snapshots of clones could not be looked through; trying again later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-j.wake:
		}
	}
}

func (j *janitor) sweep(ctx context.Context) error {
	snapshots, err := j.storage.Snapshots(ctx)
	if err != nil {
		return err
	}
	candidates := map[string]mgc.Snapshot{} // by the clone's name
	for _, s := range snapshots {
		if clone, ok := j.names.clonedVolume(s.Name); ok && !j.locks.IsHeld(clone) {
			candidates[clone] = s
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	volumes, err := j.storage.Volumes(ctx)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		delete(candidates, v.Name)
	}
	for clone, s := range candidates {
		j.remove(ctx, clone, s.ID)
	}
	return nil
}

// remove holds the clone's name, so that nobody starts to make the clone meanwhile.
func (j *janitor) remove(ctx context.Context, clone, snapshotID string) {
	unlock, err := j.locks.Lock(clone)
	if err != nil {
		return
	}
	defer unlock()
	if v, err := j.storage.VolumeByName(ctx, clone); v != nil || err != nil {
		return
	}
	if err := j.storage.DeleteSnapshot(ctx, snapshotID); err != nil {
		slog.Warn("a clone's snapshot could not be deleted; trying again later", "snapshot", snapshotID, "error", err)
	}
}
