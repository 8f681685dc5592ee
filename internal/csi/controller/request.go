package controller

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/driver"
	"magalu.cloud/mke/internal/mgc"
)

// defaultType of volumes whose StorageClass names none.
const defaultType = "cloud_nvme20k"

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// parameters of a StorageClass.
type parameters struct {
	volumeType string
	encrypted  bool
}

func parseParameters(in map[string]string) (parameters, error) {
	p := parameters{volumeType: defaultType}
	for key, value := range in {
		switch {
		case key == "type" && value != "":
			p.volumeType = value
		case key == "encrypted":
			encrypted, err := strconv.ParseBool(value)
			if err != nil {
				return p, invalid("parameter encrypted of the StorageClass must be true or false, not %q", value)
			}
			p.encrypted = encrypted
		case strings.HasPrefix(key, "csi.storage.k8s.io/"): // the sidecar's own
		default:
			return p, invalid("unknown parameter %q in the StorageClass; known are type, encrypted and csi.storage.k8s.io/fstype", key)
		}
	}
	return p, nil
}

var modes = []csi.VolumeCapability_AccessMode_Mode{
	csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
	csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
	csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
	csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY,
}

// unsupported says why a volume cannot be used in this way, empty if it can.
func unsupported(c *csi.VolumeCapability) string {
	if !slices.Contains(modes, c.GetAccessMode().GetMode()) {
		return "a volume can be used by one node at a time: the access mode must be ReadWriteOnce or ReadWriteOncePod"
	}
	if c.GetBlock() == nil && c.GetMount() == nil {
		return "the volume must be a block device or a file system"
	}
	switch fs := c.GetMount().GetFsType(); fs {
	case "", "ext4", "xfs":
		return ""
	default:
		return fmt.Sprintf("file system %q is not supported; ext4 and xfs are", fs)
	}
}

func checkCapabilities(all ...*csi.VolumeCapability) error {
	if len(all) == 0 || all[0] == nil {
		return invalid("a volume capability is needed")
	}
	for _, c := range all {
		if reason := unsupported(c); reason != "" {
			return invalid("%s", reason)
		}
	}
	return nil
}

// sizeGiB returns the size in the cloud's unit. least is what the content needs, 0 for an empty volume.
func sizeGiB(r *csi.CapacityRange, least int) (int, error) {
	required, limit := r.GetRequiredBytes(), r.GetLimitBytes()
	if required < 0 || limit < 0 {
		return 0, invalid("sizes must not be negative")
	}
	size := int((required + driver.GiB - 1) / driver.GiB)
	switch {
	case size == 0:
		size = max(least, mgc.MinVolumeSize)
	case size < mgc.MinVolumeSize:
		return 0, status.Errorf(codes.OutOfRange, "a volume must be at least %d GiB large, %d GiB are asked for", mgc.MinVolumeSize, size)
	case size < least:
		return 0, status.Errorf(codes.OutOfRange, "the source needs at least %d GiB, %d GiB are asked for", least, size)
	}
	if limit > 0 && int64(size)*driver.GiB > limit {
		return 0, status.Errorf(codes.OutOfRange, "the volume would have %d GiB, more than the limit of %d bytes", size, limit)
	}
	return size, nil
}

// chooseZone returns the first zone of the requirement in which the volume can be, in order of preference. allowed is nil for any.
func chooseZone(r *csi.TopologyRequirement, allowed []string) (string, error) {
	wanted := append(slices.Clone(r.GetPreferred()), r.GetRequisite()...)
	if len(wanted) == 0 {
		return "", invalid("the zone of the volume is not known: accessibility requirements are needed")
	}
	for _, t := range wanted {
		zone := t.GetSegments()[driver.TopologyKey]
		if zone == "" {
			return "", invalid("a topology lacks %s", driver.TopologyKey)
		}
		if allowed == nil || slices.Contains(allowed, zone) {
			return zone, nil
		}
	}
	return "", status.Errorf(codes.ResourceExhausted, "the source of the volume is in zone %s, where the Pod cannot run", strings.Join(allowed, ", "))
}
