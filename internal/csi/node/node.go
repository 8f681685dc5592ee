// Package node is the half of MGC-CSI that runs on every node: it formats, mounts and grows the devices that the cloud plugged in. It
// holds no credential and talks to nobody but the kubelet.
package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/mount-utils"
	"k8s.io/utils/exec"

	"magalu.cloud/mke/internal/csi/driver"
)

// Node implements CSI's node service for one VM.
type Node struct {
	csi.UnimplementedNodeServer
	place      Place
	maxVolumes int64
	mounter    *mount.SafeFormatAndMount
	devices    Devices
	locks      driver.Locks
}

// New returns the node service of a VM.
func New(p Place, maxVolumes int64, m mount.Interface, e exec.Interface, d Devices) *Node {
	return &Node{place: p, maxVolumes: maxVolumes, mounter: &mount.SafeFormatAndMount{Interface: m, Exec: e}, devices: d}
}

// NodeGetInfo tells who the node is and what can be plugged into it.
func (n *Node) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.place.InstanceID, MaxVolumesPerNode: n.maxVolumes, AccessibleTopology: driver.Topology(n.place.Zone)}, nil
}

// NodeGetCapabilities tells what the node can do.
func (n *Node) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	res := &csi.NodeGetCapabilitiesResponse{}
	for _, t := range []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
		csi.NodeServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		res.Capabilities = append(res.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: t}}})
	}
	return res, nil
}

// lock checks the two things that every call needs, and keeps others away from the volume.
func (n *Node) lock(volumeID, path, what string) (unlock func(), err error) {
	if volumeID == "" || path == "" {
		return nil, status.Errorf(codes.InvalidArgument, "the volume's id and %s are needed", what)
	}
	return n.locks.Lock(volumeID)
}

func checkCapability(c *csi.VolumeCapability) error {
	switch {
	case c.GetBlock() == nil && c.GetMount() == nil:
		return status.Error(codes.InvalidArgument, "a volume capability is needed")
	case c.GetMount() != nil && !slices.Contains([]string{"", ext4, xfs}, c.GetMount().GetFsType()):
		return status.Errorf(codes.InvalidArgument, "file system %q is not supported; ext4 and xfs are", c.GetMount().GetFsType())
	}
	return nil
}

// isMounted is false for paths that do not exist. What is left of a device that was taken away is unmounted: nothing can be done with it.
func (n *Node) isMounted(path string) (bool, error) {
	exists, err := mount.PathExists(path)
	if mount.IsCorruptedMnt(err) {
		return false, n.unmount(path)
	}
	if err != nil || !exists {
		return false, err
	}
	return n.mounter.IsMountPoint(path)
}

// unmount also removes the mount point.
func (n *Node) unmount(path string) error {
	if err := mount.CleanupMountPoint(path, n.mounter, true); err != nil {
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	return nil
}
