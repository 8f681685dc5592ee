package cloud

import (
	"context"
	"fmt"
	"log/slog"

	"magalu.cloud/mke/internal/mgc"
)

// Clone makes a volume with another one's content, by way of a snapshot with the given name. A try that was cut short is taken up
// where it ended. The cloud keeps a snapshot for as long as a volume made from it lives; who deletes the volume removes it then.
func Clone(ctx context.Context, s Storage, in mgc.VolumeCreate, sourceID, snapshotName string) (*mgc.Volume, error) {
	v, err := s.VolumeByName(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if v == nil {
		snapshot, err := s.CreateSnapshot(ctx, mgc.SnapshotCreate{Name: snapshotName, Description: "source of the clone " + in.Name,
			Volume: &mgc.Ref{ID: sourceID}, Type: mgc.SnapshotInstant})
		if err != nil {
			return nil, fmt.Errorf("snapshot of the source: %w", err)
		}
		in.Snapshot = &mgc.Ref{ID: snapshot.ID}
	}
	// For a volume that exists this compares and waits.
	v, err = s.CreateVolume(ctx, in)
	if err != nil && !final(err) {
		return nil, err // the snapshot may still be needed
	}
	ctx, cancel := cleanupContext(ctx)
	defer cancel()
	if removeErr := RemoveSnapshotByName(ctx, s, snapshotName); removeErr != nil {
		slog.Info("the snapshot of a clone stays until the clone goes", "snapshot", snapshotName, "reason", removeErr)
	}
	return v, err
}

// RemoveSnapshotByName removes a snapshot if it is there.
func RemoveSnapshotByName(ctx context.Context, s Storage, name string) error {
	snapshot, err := s.SnapshotByName(ctx, name)
	if err != nil || snapshot == nil {
		return err
	}
	return s.DeleteSnapshot(ctx, snapshot.ID)
}
