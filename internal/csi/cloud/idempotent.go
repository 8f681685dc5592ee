package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"magalu.cloud/mke/internal/mgc"
)

// Idempotent makes every call of Storage repeatable: what is done already, by an earlier call or by one whose answer was lost, is
// success if it is what is wanted, and an error if it is not.
type Idempotent struct{ Storage }

// unclear is true for errors after which the wanted state may have been reached nevertheless.
func unclear(err error) bool { return mgc.IsConflict(err) || mgc.IsTransient(err) }

// final is true for errors that the same call would meet again.
func final(err error) bool {
	return !unclear(err) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled)
}

// CreateVolume returns the volume that has the name already if it is the same. What the cloud could not finish is removed, so that
// the next try starts anew.
func (i Idempotent) CreateVolume(ctx context.Context, in mgc.VolumeCreate) (*mgc.Volume, error) {
	v, err := i.Storage.CreateVolume(ctx, in)
	if v == nil && unclear(err) {
		v, err = i.existingVolume(ctx, in, err)
	}
	if v != nil && strings.HasPrefix(v.Status, "creating_error") {
		err = errors.Join(failure("volume", v.Status, v.Error), i.removeWreck(ctx, v.ID, i.Storage.DeleteVolume))
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (i Idempotent) existingVolume(ctx context.Context, in mgc.VolumeCreate, reason error) (*mgc.Volume, error) {
	v, err := i.VolumeByName(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if v == nil {
		return nil, reason
	}
	if difference := differs(v, in); difference != "" {
		return nil, fmt.Errorf("volume %s %w: %s", in.Name, ErrDiffers, difference)
	}
	return i.SettledVolume(ctx, v.ID)
}

// differs says in what a volume is not the wanted one.
func differs(v *mgc.Volume, in mgc.VolumeCreate) string {
	switch {
	case v.Size != in.Size:
		return fmt.Sprintf("it has %d GiB, not %d GiB", v.Size, in.Size)
	case in.AvailabilityZone != "" && v.AvailabilityZone != in.AvailabilityZone:
		return fmt.Sprintf("it is in zone %s, not in %s", v.AvailabilityZone, in.AvailabilityZone)
	case in.Type.Name != "" && v.Type.Name != "" && v.Type.Name != in.Type.Name:
		return fmt.Sprintf("its type is %s, not %s", v.Type.Name, in.Type.Name)
	case v.Encrypted != in.Encrypted:
		return "its encryption is another"
	}
	return ""
}

func (i Idempotent) removeWreck(ctx context.Context, id string, remove func(context.Context, string) error) error {
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	if err := remove(ctx, id); err != nil && !IsNotFound(err) {
		return fmt.Errorf("remove what was not finished: %w", err)
	}
	return nil
}

// DeleteVolume also succeeds if the volume is gone or is being deleted.
func (i Idempotent) DeleteVolume(ctx context.Context, id string) error {
	err := i.Storage.DeleteVolume(ctx, id)
	if err != nil && unclear(err) {
		v, settledErr := i.SettledVolume(ctx, id)
		switch {
		case settledErr != nil:
			err = settledErr
		case v.AttachedTo() != "":
			err = fmt.Errorf("volume %q %w to instance %s", id, ErrInUse, v.AttachedTo())
		default: // it may have been busy
			err = i.Storage.DeleteVolume(ctx, id)
		}
	}
	if IsNotFound(err) {
		return nil
	}
	return err
}

// AttachVolume also succeeds if the instance has the volume already.
func (i Idempotent) AttachVolume(ctx context.Context, id, instanceID string) (*mgc.Volume, error) {
	for try := 0; ; try++ {
		v, err := i.Storage.AttachVolume(ctx, id, instanceID)
		if err == nil || !unclear(err) {
			return v, err
		}
		v, settledErr := i.SettledVolume(ctx, id)
		switch {
		case settledErr != nil:
			return nil, settledErr
		case v.AttachedTo() == instanceID && v.State == mgc.StorageInUse:
			return v, nil
		case v.AttachedTo() != "" && v.AttachedTo() != instanceID:
			return nil, fmt.Errorf("volume %q %w, %s", id, ErrElsewhere, v.AttachedTo())
		case try > 0 || !mgc.IsConflict(err):
			return nil, err
		}
		// It may have been on its way out of another instance.
	}
}

// DetachVolume also succeeds if the instance does not have the volume. The cloud's own call does not say from which instance to
// detach: another one must not lose its volume.
func (i Idempotent) DetachVolume(ctx context.Context, id, instanceID string) error {
	elsewhere, err := i.detached(ctx, id, instanceID)
	if err != nil || elsewhere {
		return err
	}
	err = i.Storage.DetachVolume(ctx, id, instanceID)
	if err == nil || IsNotFound(err) {
		return nil
	}
	if !unclear(err) {
		return err
	}
	done, detachedErr := i.detached(ctx, id, instanceID)
	if done || detachedErr != nil {
		return detachedErr
	}
	return err
}

// detached is true if the instance does not have the volume. An instance of "" is any.
func (i Idempotent) detached(ctx context.Context, id, instanceID string) (bool, error) {
	v, err := i.Volume(ctx, id)
	if err == nil && !settled(v.Status) {
		v, err = i.SettledVolume(ctx, id)
	}
	if IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return v.AttachedTo() == "" || (instanceID != "" && v.AttachedTo() != instanceID), nil
}

// ExtendVolume also succeeds if the volume is large enough.
func (i Idempotent) ExtendVolume(ctx context.Context, id string, size int) (*mgc.Volume, error) {
	v, err := i.Volume(ctx, id)
	if err == nil && !settled(v.Status) {
		v, err = i.SettledVolume(ctx, id)
	}
	if err != nil || v.Size >= size {
		return v, err
	}
	v, err = i.Storage.ExtendVolume(ctx, id, size)
	if err != nil && unclear(err) {
		now, settledErr := i.SettledVolume(ctx, id)
		if settledErr != nil {
			return nil, settledErr
		}
		if now.Size >= size {
			return now, nil
		}
	}
	return v, err
}

// CreateSnapshot returns the snapshot that has the name already if it is of the same volume.
func (i Idempotent) CreateSnapshot(ctx context.Context, in mgc.SnapshotCreate) (*mgc.Snapshot, error) {
	s, err := i.Storage.CreateSnapshot(ctx, in)
	if s == nil && unclear(err) {
		s, err = i.existingSnapshot(ctx, in, err)
	}
	if s != nil && strings.HasPrefix(s.Status, "creating_error") {
		err = errors.Join(failure("snapshot", s.Status, s.Error), i.removeWreck(ctx, s.ID, i.Storage.DeleteSnapshot))
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (i Idempotent) existingSnapshot(ctx context.Context, in mgc.SnapshotCreate, reason error) (*mgc.Snapshot, error) {
	s, err := i.SnapshotByName(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, reason
	}
	if s.VolumeID() != in.Volume.ID {
		return nil, fmt.Errorf("snapshot %s %w: it is of volume %s", in.Name, ErrDiffers, s.VolumeID())
	}
	return i.SettledSnapshot(ctx, s.ID)
}

// DeleteSnapshot also succeeds if the snapshot is gone or is being deleted.
func (i Idempotent) DeleteSnapshot(ctx context.Context, id string) error {
	err := i.Storage.DeleteSnapshot(ctx, id)
	if err != nil && unclear(err) {
		if _, settledErr := i.SettledSnapshot(ctx, id); settledErr != nil {
			err = settledErr
		} else {
			err = i.Storage.DeleteSnapshot(ctx, id)
		}
	}
	if IsNotFound(err) {
		return nil
	}
	return err
}
