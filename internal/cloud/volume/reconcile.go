package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/worker"
)

// Run makes disks what the rows say until ctx is done. What was begun by an earlier run is continued.
func (s *Service) Run(ctx context.Context) error {
	if err := s.takeUp(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	var scheduling sync.WaitGroup
	scheduling.Go(func() { s.schedule(ctx) })
	s.pool.Run(ctx)
	scheduling.Wait()
	return nil
}

// takeUp closes block devices that no instance has and queues all volumes. Data
// without a row is left alone: a lost database must not take it along.
func (s *Service) takeUp(ctx context.Context) error {
	volumes, err := queryVolumes(ctx, s.db, `ORDER BY created_at`)
	if err != nil {
		return fmt.Errorf("read volumes: %w", err)
	}
	attached := map[string]bool{}
	for _, v := range volumes {
		attached[v.ID] = v.InstanceID != ""
		s.pool.Add(v.ID)
	}
	open, err := s.Driver.List(ctx)
	if err != nil {
		return fmt.Errorf("list block devices: %w", err)
	}
	for _, id := range open {
		if attached[id] {
			continue
		}
		s.Logger.Info("removing a block device that no instance has", "volume", id)
		if err := s.Driver.Close(ctx, id); err != nil {
			s.Logger.Error("a block device that no instance has could not be removed", "volume", id, "error", err)
		}
	}
	return nil
}

// reconcile takes a volume, and then its snapshots, to where they shall go.
func (s *Service) reconcile(ctx context.Context, id string) error {
	v, err := findVolume(ctx, s.db, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	volumeErr := s.step(ctx, v)
	snapshots, err := querySnapshots(ctx, s.db, `WHERE volume_id = ? AND status IN ('provisioning', 'creating', 'deleting') ORDER BY created_at`, id)
	errs := []error{volumeErr, err}
	for _, n := range snapshots {
		errs = append(errs, s.stepSnapshot(ctx, v, n))
	}
	return errors.Join(errs...)
}

func (s *Service) step(ctx context.Context, v volume) error {
	switch v.Status {
	case statusProvisioning, statusCreating:
		return s.doCreate(ctx, v)
	case statusAttachingPending, statusAttaching:
		return s.doAttach(ctx, v)
	case statusDetachingPending, statusDetaching:
		return s.doDetach(ctx, v)
	case statusExtendPending, statusExtending:
		return s.doExtend(ctx, v)
	case statusRetypePending, statusRetyping:
		return s.doRetype(ctx, v)
	case statusDeletingPending, statusDeleting:
		return s.doDelete(ctx, v)
	}
	return s.keep(ctx, v)
}

// begin moves a volume to the status in which it is worked on.
func (s *Service) begin(ctx context.Context, v *volume, status string) error {
	if v.Status == status {
		return nil
	}
	changed, err := s.db.Exec(ctx, `UPDATE volume_volumes SET status = ?, updated_at = ? WHERE id = ? AND status = ?`, status, store.Now(), v.ID, v.Status)
	if err == nil && changed == 0 {
		err = errChanged
	}
	v.Status = status
	return err
}

// errChanged is for a row that became something else meanwhile; its change has queued it again.
var errChanged = fmt.Errorf("the volume was changed meanwhile: %w", worker.ErrKeepTrying)

// finish ends the operation under way, unless another one took its place.
func (s *Service) finish(ctx context.Context, v volume, assignments string) error {
	_, err := s.db.Exec(ctx, `UPDATE volume_volumes SET status = 'completed', error_slug = '', error_message = '', `+assignments+
		`, updated_at = ? WHERE id = ? AND status = ?`, store.Now(), v.ID, v.Status)
	return err
}

func (s *Service) doCreate(ctx context.Context, v volume) error {
	if err := s.begin(ctx, &v, statusCreating); err != nil {
		return err
	}
	err := s.Driver.Create(ctx, v.ID, v.Size*gib, v.SnapshotID)
	if errors.Is(err, ErrNoSpace) {
		return s.giveUp(ctx, v.ID, err)
	}
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return s.finish(ctx, v, `state = 'available'`)
}

func (s *Service) doAttach(ctx context.Context, v volume) error {
	if err := s.begin(ctx, &v, statusAttaching); err != nil {
		return err
	}
	if err := s.Plug(ctx, v.InstanceID); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return s.finish(ctx, v, `state = 'in-use'`)
}

func (s *Service) doDetach(ctx context.Context, v volume) error {
	phase, _, err := s.Machines.State(ctx, v.InstanceID)
	if err != nil {
		return err
	}
	running := phase == compute.Running
	if running && v.Status == statusDetachingPending {
		if inUse, err := s.Driver.InUse(ctx, v.ID); err != nil {
			return err
		} else if inUse { // it was mounted after the request
			return s.giveUp(ctx, v.ID, ErrInUse)
		}
	}
	if err := s.begin(ctx, &v, statusDetaching); err != nil {
		return err
	}
	if err := s.Plug(ctx, v.InstanceID); err != nil { // now without this volume
		return fmt.Errorf("detach: %w", err)
	}
	if !running {
		if err := s.Driver.Unstack(ctx, v.ID); err != nil {
			return fmt.Errorf("detach: %w: %w", worker.ErrKeepTrying, err)
		}
	}
	if err := s.Driver.Close(ctx, v.ID); err != nil {
		if !running { // the kernel is still cleaning up after the VM
			err = fmt.Errorf("%w: %w", worker.ErrKeepTrying, err)
		}
		return fmt.Errorf("detach: %w", err)
	}
	return s.finish(ctx, v, `state = 'available', instance_id = '', device = '', attached_at = ''`)
}

func (s *Service) doExtend(ctx context.Context, v volume) error {
	if err := s.begin(ctx, &v, statusExtending); err != nil {
		return err
	}
	if err := s.Driver.Resize(ctx, v.ID, v.NewSize*gib); err != nil {
		return fmt.Errorf("extend: %w", err)
	}
	return s.finish(ctx, v, `size = new_size, new_size = 0`)
}

func (s *Service) doRetype(ctx context.Context, v volume) error {
	if err := s.begin(ctx, &v, statusRetyping); err != nil {
		return err
	}
	// The limits of a device come from here, too; the old type is not needed any more.
	if _, err := s.db.Exec(ctx, `UPDATE volume_volumes SET type_id = new_type_id WHERE id = ? AND status = 'retyping'`, v.ID); err != nil {
		return err
	}
	if v.InstanceID != "" {
		if err := s.Plug(ctx, v.InstanceID); err != nil {
			return fmt.Errorf("retype: %w", err)
		}
	}
	return s.finish(ctx, v, `new_type_id = ''`)
}

func (s *Service) doDelete(ctx context.Context, v volume) error {
	if err := s.begin(ctx, &v, statusDeleting); err != nil {
		return err
	}
	if err := s.Driver.Delete(ctx, v.ID); err != nil {
		return fmt.Errorf("delete: %w: %w", worker.ErrKeepTrying, err)
	}
	_, err := s.db.Exec(ctx, `DELETE FROM volume_volumes WHERE id = ? AND status = 'deleting'`, v.ID)
	return err
}

// keep looks after a volume on which nothing is under way: one that is attached
// keeps its device, whatever happened to the host, unless its instance is gone.
func (s *Service) keep(ctx context.Context, v volume) error {
	if v.InstanceID == "" {
		return nil
	}
	found, err := s.Instances(ctx, s.db, v.InstanceID)
	if err == nil {
		if _, exists := found[v.InstanceID]; !exists {
			return s.Release(ctx, v.InstanceID)
		}
		err = s.Plug(ctx, v.InstanceID)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", worker.ErrKeepTrying, err)
	}
	return nil
}

// outcomes are the error status of each operation, and where the volume then stays.
var outcomes = []struct {
	during                 []string
	status, more, message  string
	quotaStatus, quotaText string
}{
	{during: []string{statusProvisioning, statusCreating}, status: "creating_error",
		message:     "The volume could not be created. Delete it and create another one.",
		quotaStatus: "creating_error_quota", quotaText: "The region's disk is full. Delete the volume, and others or snapshots, or ask the operator for more."},
	{during: []string{statusAttachingPending, statusAttaching}, status: "attaching_error",
		more: `, instance_id = '', device = '', attached_at = ''`, message: "The volume could not be attached. Try again."},
	{during: []string{statusDetachingPending, statusDetaching}, status: statusDetachingError,
		message: "The volume could not be detached: it is in use inside the instance. Unmount it, or stop the instance, and try again."},
	{during: []string{statusExtendPending, statusExtending}, status: "extend_error", more: `, new_size = 0`,
		message: "The volume could not be extended. Try again."},
	{during: []string{statusRetypePending, statusRetyping}, status: "retype_error", more: `, new_type_id = ''`,
		message: "The type of the volume could not be changed. Try again."},
}

// giveUp ends what is under way on the volume and its snapshots with its error status. Deletions are never given up.
func (s *Service) giveUp(ctx context.Context, id string, cause error) error {
	v, err := findVolume(ctx, s.db, id)
	if err != nil {
		return err
	}
	for _, o := range outcomes {
		if !slices.Contains(o.during, v.Status) {
			continue
		}
		status, message := o.status, o.message
		if errors.Is(cause, ErrNoSpace) && o.quotaStatus != "" {
			status, message = o.quotaStatus, o.quotaText
		}
		if _, err := s.db.Exec(ctx, `UPDATE volume_volumes SET status = ?1, error_slug = ?1, error_message = ?2, updated_at = ?3`+o.more+
			` WHERE id = ?4 AND status = ?5`, status, message, store.Now(), id, v.Status); err != nil {
			return err
		}
	}
	snapshots, err := querySnapshots(ctx, s.db, `WHERE volume_id = ? AND status = 'creating'`, id)
	errs := []error{err}
	for _, n := range snapshots {
		errs = append(errs, s.failSnapshot(ctx, n, cause))
	}
	return errors.Join(errs...)
}
