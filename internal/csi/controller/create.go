package controller

import (
	"context"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/cloud"
	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/mgc"
)

// source is what a new volume starts with.
type source struct {
	snapshot, volume string
	size             int      // GiB that it needs
	zones            []string // where it can be used
}

// CreateVolume makes an empty volume, restores a snapshot or clones a volume.
func (c *Controller) CreateVolume(ctx context.Context, req *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if req.GetName() == "" {
		return nil, invalid("the volume's name is needed")
	}
	if err := checkCapabilities(req.GetVolumeCapabilities()...); err != nil {
		return nil, err
	}
	params, err := parseParameters(req.GetParameters())
	if err != nil {
		return nil, err
	}
	name := c.names.object(req.GetName())
	unlock, err := c.locks.Lock(name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	from, err := c.findSource(ctx, req.GetVolumeContentSource())
	if err != nil {
		return nil, translate(err)
	}
	size, err := sizeGiB(req.GetCapacityRange(), from.size)
	if err != nil {
		return nil, err
	}
	zone, err := chooseZone(req.GetAccessibilityRequirements(), from.zones)
	if err != nil {
		return nil, err
	}
	v, err := c.create(ctx, from, mgc.VolumeCreate{Name: name, Size: size, Type: mgc.Ref{Name: params.volumeType},
		AvailabilityZone: zone, Encrypted: params.encrypted})
	if err != nil {
		return nil, creationError(err, params)
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId:           v.ID,
		CapacityBytes:      int64(v.Size) * driver.GiB,
		ContentSource:      req.GetVolumeContentSource(),
		AccessibleTopology: []*csi.Topology{driver.Topology(v.AvailabilityZone)},
	}}, nil
}

func (c *Controller) create(ctx context.Context, from source, in mgc.VolumeCreate) (*mgc.Volume, error) {
	if from.volume != "" {
		unlock, err := c.locks.Lock(from.volume)
		if err != nil {
			return nil, err
		}
		defer unlock()
		return cloud.Clone(ctx, c.storage, in, from.volume, c.names.cloneSnapshot(in.Name))
	}
	if from.snapshot != "" {
		in.Snapshot = &mgc.Ref{ID: from.snapshot}
	}
	return c.storage.CreateVolume(ctx, in)
}

// findSource looks at what the volume is to be made from.
func (c *Controller) findSource(ctx context.Context, content *csi.VolumeContentSource) (source, error) {
	switch {
	case content == nil:
		return source{}, nil
	case content.GetSnapshot() != nil:
		s, err := c.storage.SettledSnapshot(ctx, content.GetSnapshot().GetSnapshotId())
		if err != nil {
			return source{}, err
		}
		if s.State != mgc.StorageAvailable {
			return source{}, status.Errorf(codes.FailedPrecondition, "snapshot %s cannot be used, its status is %s", s.ID, s.Status)
		}
		return source{snapshot: s.ID, size: s.Size, zones: s.AvailabilityZones}, nil
	case content.GetVolume() != nil:
		v, err := c.storage.Volume(ctx, content.GetVolume().GetVolumeId())
		if err != nil {
			return source{}, err
		}
		return source{volume: v.ID, size: v.Size, zones: []string{v.AvailabilityZone}}, nil
	}
	return source{}, invalid("volumes can be made from snapshots and volumes only")
}

// creationError says what is wrong with the StorageClass if the cloud does not know the type.
func creationError(err error, p parameters) error {
	translated := status.Convert(translate(err))
	if translated.Code() == codes.NotFound {
		return invalid("volume type %q or the source of the volume: %s", p.volumeType, translated.Message())
	}
	return translated.Err()
}
