package volume

import (
	"context"
	"errors"
	"fmt"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/worker"
)

// stepSnapshot takes a snapshot of the volume to where it shall go.
func (s *Service) stepSnapshot(ctx context.Context, v volume, n snapshot) error {
	if n.Status == statusDeleting {
		if err := s.Driver.DeleteSnapshot(ctx, n.ID); err != nil {
			return fmt.Errorf("delete snapshot: %w: %w", worker.ErrKeepTrying, err)
		}
		_, err := s.db.Exec(ctx, `DELETE FROM volume_snapshots WHERE id = ? AND status = 'deleting'`, n.ID)
		return err
	}
	if _, err := s.db.Exec(ctx, `UPDATE volume_snapshots SET status = 'creating', updated_at = ? WHERE id = ? AND status = 'provisioning'`,
		store.Now(), n.ID); err != nil {
		return err
	}
	err := s.takeSnapshot(ctx, v, n)
	switch {
	case errors.Is(err, ErrNoSpace), errors.Is(err, ErrBusy):
		return s.failSnapshot(ctx, n, err)
	case err != nil:
		return fmt.Errorf("snapshot: %w", err)
	}
	_, err = s.db.Exec(ctx, `UPDATE volume_snapshots SET state = 'available', status = 'completed', error_slug = '', error_message = '', updated_at = ?
		WHERE id = ? AND status = 'creating'`, store.Now(), n.ID)
	return err
}

func (s *Service) takeSnapshot(ctx context.Context, v volume, n snapshot) error {
	if n.SourceID != "" {
		return s.Driver.CopySnapshot(ctx, n.ID, n.SourceID)
	}
	if v.InstanceID == "" {
		return s.Driver.Snapshot(ctx, n.ID, v.ID, func() (func() error, error) { return func() error { return nil }, nil })
	}
	resume := func() error {
		ctx := context.WithoutCancel(ctx)
		found, err := s.Instances(ctx, s.db, v.InstanceID)
		if err != nil {
			return err
		}
		switch i, exists := found[v.InstanceID]; {
		case !exists:
			return fmt.Errorf("instance %s: %w", v.InstanceID, store.ErrNotFound)
		case i.Suspended(): // it stays paused: the user wants that
			return nil
		}
		return s.Machines.Resume(ctx, v.InstanceID)
	}
	if err := resume(); err != nil { // a daemon that was killed may have left it paused
		return err
	}
	return s.Driver.Snapshot(ctx, n.ID, v.ID, func() (func() error, error) {
		phase, _, err := s.Machines.State(ctx, v.InstanceID)
		if err != nil || phase != compute.Running {
			return func() error { return nil }, err
		}
		s.Logger.Info("volume: pausing an instance for a snapshot", "volume", v.ID, "instance", v.InstanceID, "snapshot", n.ID)
		return resume, s.Machines.Pause(ctx, v.InstanceID)
	})
}

func (s *Service) failSnapshot(ctx context.Context, n snapshot, cause error) error {
	status, message := "creating_error", "The snapshot could not be taken. Delete it and try again."
	switch {
	case errors.Is(cause, ErrNoSpace):
		status, message = "creating_error_quota", "The region's disk is full. Delete volumes or snapshots, or ask the operator for more."
	case errors.Is(cause, ErrBusy):
		message = "The volume was written to faster than it could be copied. Delete the snapshot and try again when less is written, or with the volume detached."
	}
	s.Logger.Error("volume: snapshot failed", "volume", n.VolumeID, "snapshot", n.ID, "error", cause)
	_, err := s.db.Exec(ctx, `UPDATE volume_snapshots SET status = ?1, error_slug = ?1, error_message = ?2, updated_at = ?3
		WHERE id = ?4 AND status = 'creating'`, status, message, store.Now(), n.ID)
	return err
}
