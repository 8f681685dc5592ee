package node

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/driver"
)

// NodeStageVolume mounts a volume's file system once for all Pods of the node; it formats an empty device and grows a file system that is
// smaller than its device. Raw devices need nothing but to be there.
func (n *Node) NodeStageVolume(ctx context.Context, req *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	unlock, err := n.lock(req.GetVolumeId(), req.GetStagingTargetPath(), "staging path")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := checkCapability(req.GetVolumeCapability()); err != nil {
		return nil, err
	}
	device, err := n.device(ctx, req.GetVolumeId(), req.GetPublishContext())
	if err != nil {
		return nil, err
	}
	if req.GetVolumeCapability().GetBlock() == nil {
		if err := n.stage(device, req.GetStagingTargetPath(), req.GetVolumeCapability()); err != nil {
			return nil, err
		}
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

// device finds a volume's device and compares its size with what the controller attached.
func (n *Node) device(ctx context.Context, volumeID string, published map[string]string) (string, error) {
	device, err := n.devices.find(ctx, volumeID)
	if err != nil {
		return "", err
	}
	size, err := deviceSize(device)
	if err != nil {
		return "", fmt.Errorf("size of %s: %w", device, err)
	}
	if least, err := strconv.ParseInt(published[driver.SizeKey], 10, 64); err == nil && size < least {
		return "", status.Errorf(codes.Internal, "%s has %d bytes, the volume has %d: it is not the volume's device", device, size, least)
	}
	return device, nil
}

func (n *Node) stage(device, path string, c *csi.VolumeCapability) error {
	if done, err := n.staged(device, path); err != nil || done {
		return err
	}
	if err := os.MkdirAll(path, 0o750); err != nil {
		return err
	}
	fs, err := n.prepare(device, c.GetMount().GetFsType())
	if err != nil {
		return err
	}
	options := c.GetMount().GetMountFlags()
	if fs == xfs {
		// A restored snapshot has the identity of its source, and both may be on this node.
		options = append(options, "nouuid")
	}
	if err := n.mounter.FormatAndMount(device, path, fs, options); err != nil {
		return fmt.Errorf("mount %s: %w", device, err)
	}
	if fs == xfs {
		return n.growMounted(device, path)
	}
	return nil
}

// staged is true if the device is mounted there already. Another one there is the rest of a device that was taken away.
func (n *Node) staged(device, path string) (bool, error) {
	mounted, err := n.isMounted(path)
	if err != nil || !mounted {
		return false, err
	}
	same, err := mountedAt(path, device)
	if err != nil || same {
		return same, err
	}
	return false, n.unmount(path)
}

// NodeUnstageVolume unmounts a volume from the node.
func (n *Node) NodeUnstageVolume(_ context.Context, req *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	unlock, err := n.lock(req.GetVolumeId(), req.GetStagingTargetPath(), "staging path")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := n.unmount(req.GetStagingTargetPath()); err != nil {
		return nil, err
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}
