package volume

import (
	"context"
	"errors"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/store"
)

// What a Driver reports besides failures.
var (
	// ErrInUse says that somebody still works with the block device.
	ErrInUse = errors.New("the block device is in use")
	// ErrNoSpace says that the disk has no room for what was asked.
	ErrNoSpace = errors.New("no space left for volumes")
	// ErrBusy says that a volume is written to faster than it can be copied.
	ErrBusy = errors.New("the volume changes faster than it can be copied")
)

// Driver keeps the bytes of volumes and snapshots, and makes block devices of
// volumes. Every method may be called again after it failed or was interrupted
// anywhere, and then continues. Block devices outlive the daemon.
type Driver interface {
	// Create makes a volume of size bytes, a copy of the snapshot if one is given.
	Create(ctx context.Context, id string, size int64, snapshotID string) error
	// Resize makes a volume larger, and its block device too.
	Resize(ctx context.Context, id string, size int64) error
	// Delete removes a volume that has no block device.
	Delete(ctx context.Context, id string) error

	// Open makes a volume's block device; it has at most one.
	Open(ctx context.Context, id string) (major, minor uint32, err error)
	// InUse tells whether the volume's block device is mounted or has another device upon it.
	InUse(ctx context.Context, id string) (bool, error)
	// Unstack removes block devices that lie upon the volume's: their user is gone.
	Unstack(ctx context.Context, id string) error
	// Close removes the block device, if any; with ErrInUse nothing has changed.
	Close(ctx context.Context, id string) error
	// List returns the volumes that have block devices.
	List(ctx context.Context) ([]string, error)

	// Snapshot copies a volume as it is at one moment. It calls pause when it must, and then resume soon.
	Snapshot(ctx context.Context, id, volumeID string, pause func() (resume func() error, err error)) error
	// CopySnapshot copies a snapshot.
	CopySnapshot(ctx context.Context, id, sourceID string) error
	// DeleteSnapshot removes a snapshot.
	DeleteSnapshot(ctx context.Context, id string) error

	// Space returns the size of the disk that everything lies on, in bytes, and whether it is full.
	Space(ctx context.Context) (size int64, full bool, err error)
}

// Machines is what volumes need of the driver of VMs.
type Machines interface {
	// SetDevices gives these block devices, and no others, to a VM. One that does not run gets them when it starts.
	SetDevices(ctx context.Context, instanceID string, devices []compute.Device) error
	// State tells whether the VM runs. An error means: cannot tell.
	State(ctx context.Context, instanceID string) (compute.Phase, compute.Exit, error)
	// Pause stops all of a VM's processes until Resume.
	Pause(ctx context.Context, instanceID string) error
	Resume(ctx context.Context, instanceID string) error
}

// Instances looks instances up and returns those that exist, by id.
type Instances func(ctx context.Context, q store.Queryer, ids ...string) (map[string]compute.Instance, error)
