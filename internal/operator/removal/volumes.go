package removal

import (
	"context"
	"fmt"
	"strings"

	mkev1 "magalu.cloud/mke/api/v1"
	"magalu.cloud/mke/internal/mgc"
	"magalu.cloud/mke/internal/mgc/owned"
)

// storageObject is a volume or a snapshot.
type storageObject struct {
	mkev1.CloudObject
	leaving bool
	delete  func(context.Context, string) error
}

// KeepStorage puts the cluster's volumes and snapshots on the list of what is kept.
func (r *Removal) KeepStorage(ctx context.Context) error {
	all, err := r.storage(ctx)
	for _, o := range all {
		r.keep(o.CloudObject)
	}
	return err
}

// DeleteStorage deletes the cluster's volumes and snapshots and says how many are left. What something else depends on goes in a later
// step; so does a volume that is still attached. The machines have to be gone.
func (r *Removal) DeleteStorage(ctx context.Context) (volumes, snapshots int, err error) {
	all, err := r.storage(ctx)
	if err != nil {
		return 0, 0, err
	}
	left := map[mkev1.CloudObjectKind]int{}
	for _, o := range all {
		if r.kept(o.ID) {
			continue
		}
		left[o.Kind]++
		if !r.remove(o.CloudObject) || o.leaving {
			continue
		}
		switch err := o.delete(ctx, o.ID); {
		case err == nil || mgc.IsNotFound(err):
		case mgc.IsConflict(err) || mgc.IsInvalid(err):
			if r.giveUp(o.CloudObject, err) {
				left[o.Kind]--
			}
		default:
			return left[mkev1.VolumeObject], left[mkev1.SnapshotObject], fmt.Errorf("delete a %s: %w", strings.ToLower(string(o.Kind)), err)
		}
	}
	return left[mkev1.VolumeObject], left[mkev1.SnapshotObject], nil
}

// storage returns the cluster's volumes and snapshots that exist, volumes that were restored from snapshots among them.
func (r *Removal) storage(ctx context.Context) ([]storageObject, error) {
	volumes, err := r.cloud.Volume.List(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	snapshots, err := r.cloud.Volume.ListSnapshots(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var all []storageObject
	add := func(kind mkev1.CloudObjectKind, id, name, state, status string, size int, remove func(context.Context, string) error) {
		if owned.Storage(name, r.clusterID) && state != mgc.StorageDeleted {
			o := mkev1.CloudObject{Kind: kind, ID: id, Name: name, SizeGiB: int32(size)} //nolint:gosec // GiB
			all = append(all, storageObject{o, leaving(status), remove})
		}
	}
	for _, v := range volumes {
		add(mkev1.VolumeObject, v.ID, v.Name, v.State, v.Status, v.Size, r.cloud.Volume.Delete)
	}
	for _, s := range snapshots {
		add(mkev1.SnapshotObject, s.ID, s.Name, s.State, s.Status, s.Size, r.cloud.Volume.DeleteSnapshot)
	}
	return all, nil
}

// leaving is true while a deletion is under way.
func leaving(status string) bool {
	return strings.HasPrefix(status, "deleting") && !strings.HasSuffix(status, "error")
}
