// Package driver holds what both halves of MGC-CSI share: its names and its gRPC server.
package driver

import (
	"github.com/container-storage-interface/spec/lib/go/csi"
)

const (
	// Name of the driver, the provisioner of StorageClasses.
	Name = "block.csi.magalu.cloud"
	// TopologyKey is the only segment of a topology: a volume can be used in its own zone.
	TopologyKey = "topology.kubernetes.io/zone"
	// MaxVolumes is how many volumes the cloud plugs into one VM.
	MaxVolumes = 25

	// GiB is the unit of volume sizes in the cloud.
	GiB = 1 << 30
)

// Topology of a zone.
func Topology(zone string) *csi.Topology {
	return &csi.Topology{Segments: map[string]string{TopologyKey: zone}}
}

// LinkName of a volume's device below /dev/disk/by-id. A virtual disk's serial number has 20 characters.
func LinkName(volumeID string) string {
	return "virtio-" + volumeID[:min(20, len(volumeID))]
}

// SizeKey of the publish context: how many bytes the device must have at least.
const SizeKey = "size"
