package controller

import (
	"context"
	"log/slog"
	"strconv"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
)

// DeleteVolume deletes a volume that this cluster made, and nobody else's.
func (c *Controller) DeleteVolume(ctx context.Context, req *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	id := req.GetVolumeId()
	unlock, err := c.lockVolume(id)
	if err != nil {
		return nil, err
	}
	defer unlock()
	v, err := c.storage.Volume(ctx, id)
	switch {
	case cloud.IsNotFound(err):
		return &csi.DeleteVolumeResponse{}, nil
	case err != nil:
		return nil, translate(err)
	case !c.names.own(v.Name):
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s (%s) was not made by this cluster: delete it in the cloud if nobody needs it", id, v.Name)
	case v.AttachedTo() != "":
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is still attached to instance %s", id, v.AttachedTo())
	}
	if err := c.storage.DeleteVolume(ctx, id); err != nil {
		return nil, c.deletionError(ctx, id, err)
	}
	// A clone pinned its source until now.
	if err := cloud.RemoveSnapshotByName(ctx, c.storage, c.names.cloneSnapshot(v.Name)); err != nil {
		slog.Warn("the snapshot of a deleted clone is left; the janitor tries again", "volume", id, "error", err)
		c.janitor.kick()
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// deletionError says which clones keep a volume: the cloud speaks of snapshots that the user has never seen.
func (c *Controller) deletionError(ctx context.Context, id string, err error) error {
	translated := status.Convert(translate(err))
	if translated.Code() != codes.FailedPrecondition {
		return translated.Err()
	}
	snapshots, listErr := c.storage.Snapshots(ctx)
	if listErr != nil {
		return translated.Err()
	}
	var clones []string
	for _, s := range snapshots {
		if clone, ok := c.names.clonedVolume(s.Name); ok && s.VolumeID() == id {
			clones = append(clones, clone)
		}
	}
	if len(clones) == 0 {
		return translated.Err()
	}
	return status.Errorf(codes.FailedPrecondition, "the cloud keeps the volume for as long as its clones exist: %s", strings.Join(clones, ", "))
}

// ControllerPublishVolume attaches a volume to a VM.
func (c *Controller) ControllerPublishVolume(ctx context.Context, req *csi.ControllerPublishVolumeRequest) (*csi.ControllerPublishVolumeResponse, error) {
	if req.GetNodeId() == "" {
		return nil, invalid("the node's id is needed")
	}
	if err := checkCapabilities(req.GetVolumeCapability()); err != nil {
		return nil, err
	}
	unlock, err := c.lockVolume(req.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	v, err := c.storage.AttachVolume(ctx, req.GetVolumeId(), req.GetNodeId())
	if err != nil {
		return nil, translate(err)
	}
	return &csi.ControllerPublishVolumeResponse{PublishContext: map[string]string{
		driver.SizeKey: strconv.FormatInt(int64(v.Size)*driver.GiB, 10)}}, nil
}

// ControllerUnpublishVolume detaches a volume from a VM, from any if none is given.
func (c *Controller) ControllerUnpublishVolume(ctx context.Context, req *csi.ControllerUnpublishVolumeRequest) (*csi.ControllerUnpublishVolumeResponse, error) {
	unlock, err := c.lockVolume(req.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := c.storage.DetachVolume(ctx, req.GetVolumeId(), req.GetNodeId()); err != nil {
		return nil, translate(err)
	}
	return &csi.ControllerUnpublishVolumeResponse{}, nil
}

// ControllerExpandVolume makes a volume larger, also while it is in use.
func (c *Controller) ControllerExpandVolume(ctx context.Context, req *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	if req.GetCapacityRange() == nil {
		return nil, invalid("the new size is needed")
	}
	size, err := sizeGiB(req.GetCapacityRange(), 0)
	if err != nil {
		return nil, err
	}
	unlock, err := c.lockVolume(req.GetVolumeId())
	if err != nil {
		return nil, err
	}
	defer unlock()
	v, err := c.storage.ExtendVolume(ctx, req.GetVolumeId(), size)
	if err != nil {
		return nil, expansionError(err)
	}
	return &csi.ControllerExpandVolumeResponse{
		CapacityBytes:         int64(v.Size) * driver.GiB,
		NodeExpansionRequired: req.GetVolumeCapability().GetBlock() == nil,
	}, nil
}

// expansionError says that an expansion for which there is no room is over: after ResourceExhausted the resizer would take it to be still
// under way and go on with it, even when the claim asks for less.
func expansionError(err error) error {
	translated := status.Convert(translate(err))
	if translated.Code() == codes.ResourceExhausted {
		return status.Error(codes.FailedPrecondition, translated.Message())
	}
	return translated.Err()
}

// ValidateVolumeCapabilities confirms what the volume can be used for.
func (c *Controller) ValidateVolumeCapabilities(ctx context.Context, req *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if req.GetVolumeId() == "" || len(req.GetVolumeCapabilities()) == 0 {
		return nil, invalid("the volume's id and capabilities are needed")
	}
	if _, err := c.storage.Volume(ctx, req.GetVolumeId()); err != nil {
		return nil, translate(err)
	}
	for _, capability := range req.GetVolumeCapabilities() {
		if reason := unsupported(capability); reason != "" {
			return &csi.ValidateVolumeCapabilitiesResponse{Message: reason}, nil
		}
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeContext: req.GetVolumeContext(), VolumeCapabilities: req.GetVolumeCapabilities(), Parameters: req.GetParameters()}}, nil
}

func (c *Controller) lockVolume(id string) (unlock func(), err error) {
	if id == "" {
		return nil, invalid("the volume's id is needed")
	}
	return c.locks.Lock(id)
}
