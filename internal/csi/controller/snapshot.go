package controller

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/mgc"
)

// CreateSnapshot makes a snapshot and waits until it can be used.
func (c *Controller) CreateSnapshot(ctx context.Context, req *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	if req.GetName() == "" || req.GetSourceVolumeId() == "" {
		return nil, invalid("the snapshot's name and source volume are needed")
	}
	kind, err := snapshotType(req.GetParameters())
	if err != nil {
		return nil, err
	}
	name := c.names.object(req.GetName())
	unlock, err := c.locks.Lock(name, req.GetSourceVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := c.storage.CreateSnapshot(ctx, mgc.SnapshotCreate{Name: name, Description: "snapshot of a Kubernetes volume",
		Volume: &mgc.Ref{ID: req.GetSourceVolumeId()}, Type: kind})
	if err != nil {
		return nil, translate(err)
	}
	return &csi.CreateSnapshotResponse{Snapshot: snapshot(s)}, nil
}

func snapshotType(parameters map[string]string) (string, error) {
	kind := mgc.SnapshotInstant
	for key, value := range parameters {
		switch {
		case key == "type" && (value == mgc.SnapshotInstant || value == mgc.SnapshotObject):
			kind = value
		case key == "type":
			return "", invalid("parameter type of the VolumeSnapshotClass must be %s or %s, not %q", mgc.SnapshotInstant, mgc.SnapshotObject, value)
		case !strings.HasPrefix(key, "csi.storage.k8s.io/"):
			return "", invalid("unknown parameter %q in the VolumeSnapshotClass; known is type", key)
		}
	}
	return kind, nil
}

// DeleteSnapshot deletes a snapshot that this cluster made, and nobody else's.
func (c *Controller) DeleteSnapshot(ctx context.Context, req *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	id := req.GetSnapshotId()
	if id == "" {
		return nil, invalid("the snapshot's id is needed")
	}
	unlock, err := c.locks.Lock(id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := c.storage.Snapshot(ctx, id)
	switch {
	case cloud.IsNotFound(err):
		return &csi.DeleteSnapshotResponse{}, nil
	case err != nil:
		return nil, translate(err)
	case !c.names.own(s.Name):
		return nil, status.Errorf(codes.FailedPrecondition, "snapshot %s (%s) was not made by this cluster: delete it in the cloud if nobody needs it", id, s.Name)
	}
	if err := c.storage.DeleteSnapshot(ctx, id); err != nil {
		return nil, translate(err)
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

// ListSnapshots returns the cluster's snapshots, and any other one by its id.
func (c *Controller) ListSnapshots(ctx context.Context, req *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	all, err := c.selectSnapshots(ctx, req)
	if err != nil {
		return nil, translate(err)
	}
	slices.SortFunc(all, func(a, b mgc.Snapshot) int {
		return cmp.Or(cmp.Compare(a.CreatedAt, b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	page, next, err := cut(all, req.GetStartingToken(), req.GetMaxEntries())
	if err != nil {
		return nil, err
	}
	res := &csi.ListSnapshotsResponse{NextToken: next}
	for _, s := range page {
		res.Entries = append(res.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: snapshot(&s)})
	}
	return res, nil
}

func (c *Controller) selectSnapshots(ctx context.Context, req *csi.ListSnapshotsRequest) ([]mgc.Snapshot, error) {
	if id := req.GetSnapshotId(); id != "" {
		s, err := c.storage.Snapshot(ctx, id)
		if cloud.IsNotFound(err) || (err == nil && req.GetSourceVolumeId() != "" && s.VolumeID() != req.GetSourceVolumeId()) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []mgc.Snapshot{*s}, nil
	}
	all, err := c.storage.Snapshots(ctx)
	return slices.DeleteFunc(all, func(s mgc.Snapshot) bool {
		_, temporary := c.names.clonedVolume(s.Name)
		return temporary || !c.names.own(s.Name) || (req.GetSourceVolumeId() != "" && s.VolumeID() != req.GetSourceVolumeId())
	}), err
}

func snapshot(s *mgc.Snapshot) *csi.Snapshot {
	out := &csi.Snapshot{
		SnapshotId:     s.ID,
		SourceVolumeId: s.VolumeID(),
		SizeBytes:      int64(s.Size) * driver.GiB,
		ReadyToUse:     s.State == mgc.StorageAvailable && s.Status == mgc.StorageCompleted,
		CreationTime:   timestamppb.Now(),
	}
	if at, err := time.Parse(time.RFC3339, s.CreatedAt); err == nil {
		out.CreationTime = timestamppb.New(at)
	}
	return out
}
