package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// NodePublishVolume shows a staged file system, or the device itself, to a Pod.
func (n *Node) NodePublishVolume(ctx context.Context, req *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	target := req.GetTargetPath()
	unlock, err := n.lock(req.GetVolumeId(), target, "target path")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if req.GetStagingTargetPath() == "" {
		return nil, status.Error(codes.InvalidArgument, "the staging path is needed")
	}
	if err := checkCapability(req.GetVolumeCapability()); err != nil {
		return nil, err
	}
	from, makeTarget := req.GetStagingTargetPath(), makeFolder
	if req.GetVolumeCapability().GetBlock() != nil {
		makeTarget = makeFile
		if from, err = n.device(ctx, req.GetVolumeId(), req.GetPublishContext()); err != nil {
			return nil, err
		}
	} else if mounted, err := n.isMounted(from); err != nil || !mounted {
		return nil, status.Errorf(codes.FailedPrecondition, "the volume is not staged at %s: %v", from, err)
	}
	if err := n.publish(from, target, makeTarget, req); err != nil {
		return nil, err
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (n *Node) publish(from, target string, makeTarget func(string) error, req *csi.NodePublishVolumeRequest) error {
	if mounted, err := n.isMounted(target); err != nil || mounted {
		return err
	}
	if req.GetVolumeCapability().GetAccessMode().GetMode() == csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER {
		if err := n.alone(from, req.GetStagingTargetPath(), target); err != nil {
			return err
		}
	}
	if err := makeTarget(target); err != nil {
		return err
	}
	options := append([]string{"bind"}, req.GetVolumeCapability().GetMount().GetMountFlags()...)
	if req.GetReadonly() {
		options = append(options, "ro")
	}
	if err := n.mounter.Mount(from, target, "", options); err != nil {
		return fmt.Errorf("mount at %s: %w", target, err)
	}
	return nil
}

// alone makes sure that no other Pod has a volume that only one may have.
func (n *Node) alone(from, staging, target string) error {
	others, err := n.mounter.GetMountRefs(from)
	if err != nil {
		return fmt.Errorf("who uses %s: %w", from, err)
	}
	others = slices.DeleteFunc(others, func(path string) bool { return path == staging || path == target })
	if len(others) > 0 {
		return status.Errorf(codes.FailedPrecondition, "another Pod of this node has the volume, which is for one Pod only: %s", others[0])
	}
	return nil
}

func makeFolder(path string) error { return os.MkdirAll(path, 0o750) }

func makeFile(path string) error {
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

// NodeUnpublishVolume takes a volume away from a Pod.
func (n *Node) NodeUnpublishVolume(_ context.Context, req *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	unlock, err := n.lock(req.GetVolumeId(), req.GetTargetPath(), "target path")
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := n.unmount(req.GetTargetPath()); err != nil {
		return nil, err
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}
