package node

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NodeExpandVolume grows a mounted file system after its volume has grown. Raw devices grow by themselves.
func (n *Node) NodeExpandVolume(ctx context.Context, req *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	path := req.GetVolumePath()
	unlock, err := n.lock(req.GetVolumeId(), path, "path")
	if err != nil {
		return nil, err
	}
	defer unlock()
	info, err := os.Stat(path)
	if err != nil {
		return nil, notFound(err)
	}
	device, err := n.devices.find(ctx, req.GetVolumeId())
	if err != nil {
		return nil, err
	}
	size, err := n.waitForSize(ctx, device, req.GetCapacityRange().GetRequiredBytes())
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if err := n.growMounted(device, path); err != nil {
			return nil, err
		}
	}
	return &csi.NodeExpandVolumeResponse{CapacityBytes: size}, nil
}

// waitForSize waits until the kernel knows that the device has grown.
func (n *Node) waitForSize(ctx context.Context, device string, least int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, deviceLimit)
	defer cancel()
	for {
		size, err := deviceSize(device)
		if err != nil || size >= least {
			return size, err
		}
		select {
		case <-ctx.Done():
			return 0, status.Errorf(codes.Unavailable, "%s still has %d bytes, not the wanted %d", device, size, least)
		case <-time.After(devicePause):
		}
	}
}

// NodeGetVolumeStats tells how full a volume is.
func (n *Node) NodeGetVolumeStats(_ context.Context, req *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	if req.GetVolumeId() == "" || req.GetVolumePath() == "" {
		return nil, status.Error(codes.InvalidArgument, "the volume's id and path are needed")
	}
	info, err := os.Stat(req.GetVolumePath())
	if err != nil {
		return nil, notFound(err)
	}
	if !info.IsDir() {
		size, err := deviceSize(req.GetVolumePath())
		if err != nil {
			return nil, err
		}
		return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{{Unit: csi.VolumeUsage_BYTES, Total: size}}}, nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(req.GetVolumePath(), &fs); err != nil {
		return nil, err
	}
	block := fs.Bsize
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{Unit: csi.VolumeUsage_BYTES, Total: int64(fs.Blocks) * block, Available: int64(fs.Bavail) * block, Used: int64(fs.Blocks-fs.Bfree) * block},
		{Unit: csi.VolumeUsage_INODES, Total: int64(fs.Files), Available: int64(fs.Ffree), Used: int64(fs.Files - fs.Ffree)},
	}}, nil
}

func notFound(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return status.Error(codes.NotFound, err.Error())
	}
	return err
}
