// Package cloud is the driver's view of block storage: calls that return when their work is done, and that may be repeated.
//
// Client makes one call and waits for the cloud to finish it. Idempotent, around it, makes success of "exists already", "attached
// already" and "gone already" once it has made sure that it is the wanted state, lost answers included.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

var (
	// ErrNotFound says that the cloud has no such object.
	ErrNotFound = errors.New("does not exist")
	// ErrDiffers says that another object has the name.
	ErrDiffers = errors.New("exists with other properties")
	// ErrElsewhere says that another instance has the volume.
	ErrElsewhere = errors.New("is attached to another instance")
	// ErrInUse says that a volume is attached.
	ErrInUse = errors.New("is still attached")
	// ErrFull says that there is no room, or no quota.
	ErrFull = errors.New("no capacity")
	// ErrFailed says that the cloud gave up.
	ErrFailed = errors.New("the cloud failed")
)

// IsNotFound is true only if the cloud itself said that the object does not exist.
func IsNotFound(err error) bool { return errors.Is(err, ErrNotFound) || mgc.IsNotFound(err) }

// Storage is what the controller needs of the cloud. Calls return when the cloud is done with the work.
type Storage interface {
	Volume(ctx context.Context, id string) (*mgc.Volume, error)
	// VolumeByName returns nil if there is none.
	VolumeByName(ctx context.Context, name string) (*mgc.Volume, error)
	Volumes(ctx context.Context) ([]mgc.Volume, error)
	// SettledVolume waits until nothing is under way.
	SettledVolume(ctx context.Context, id string) (*mgc.Volume, error)
	CreateVolume(ctx context.Context, in mgc.VolumeCreate) (*mgc.Volume, error)
	DeleteVolume(ctx context.Context, id string) error
	AttachVolume(ctx context.Context, id, instanceID string) (*mgc.Volume, error)
	DetachVolume(ctx context.Context, id, instanceID string) error
	// ExtendVolume makes the volume at least size GiB large.
	ExtendVolume(ctx context.Context, id string, size int) (*mgc.Volume, error)

	Snapshot(ctx context.Context, id string) (*mgc.Snapshot, error)
	// SnapshotByName returns nil if there is none.
	SnapshotByName(ctx context.Context, name string) (*mgc.Snapshot, error)
	Snapshots(ctx context.Context) ([]mgc.Snapshot, error)
	SettledSnapshot(ctx context.Context, id string) (*mgc.Snapshot, error)
	CreateSnapshot(ctx context.Context, in mgc.SnapshotCreate) (*mgc.Snapshot, error)
	DeleteSnapshot(ctx context.Context, id string) error
}

// API is the block storage product, as *mgc.VolumeClient calls it.
type API interface {
	Get(ctx context.Context, id string) (*mgc.Volume, error)
	List(ctx context.Context, name string) ([]mgc.Volume, error)
	Create(ctx context.Context, in mgc.VolumeCreate) (string, error)
	Delete(ctx context.Context, id string) error
	Attach(ctx context.Context, id, instanceID string) error
	Detach(ctx context.Context, id string) error
	Extend(ctx context.Context, id string, size int) error
	GetSnapshot(ctx context.Context, id string) (*mgc.Snapshot, error)
	ListSnapshots(ctx context.Context, name string) ([]mgc.Snapshot, error)
	CreateSnapshot(ctx context.Context, in mgc.SnapshotCreate) (string, error)
	DeleteSnapshot(ctx context.Context, id string) error
}

// Client implements Storage without any second try.
type Client struct {
	connect   func() (API, error)
	volumes   *watcher[mgc.Volume]
	snapshots *watcher[mgc.Snapshot]
}

// NewClient returns a client; connect gives it the cloud with the credentials of the moment.
func NewClient(connect func() (API, error)) *Client {
	c := &Client{connect: connect}
	c.volumes = newWatcher(c.Volume, c.Volumes, func(v *mgc.Volume) string { return v.ID })
	c.snapshots = newWatcher(c.Snapshot, c.Snapshots, func(s *mgc.Snapshot) string { return s.ID })
	return c
}

// settled is true if the cloud is not working on the object: it is complete or in error.
func settled(status string) bool {
	return status == mgc.StorageCompleted || strings.Contains(status, "_error") || status == "deleted"
}

// failure tells why an object is in error, nil if it is not.
func failure(what, status string, fault *mgc.InstanceFault) error {
	if !strings.Contains(status, "_error") {
		return nil
	}
	reason := status
	if fault != nil && fault.Message != "" {
		reason = fault.Message
	}
	if strings.Contains(status, "quota") {
		return fmt.Errorf("%w for the %s: %s", ErrFull, what, reason)
	}
	return fmt.Errorf("%w at the %s: %s", ErrFailed, what, reason)
}

// get asks for one object. Handles come from people, too: what is no id of the cloud does not exist in it.
func get[T any](c *Client, what, id string, call func(API) (*T, error)) (*T, error) {
	if _, err := uuid.Parse(id); err != nil {
		return nil, fmt.Errorf("%s %q %w", what, id, ErrNotFound)
	}
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	o, err := call(api)
	if mgc.IsNotFound(err) {
		return nil, fmt.Errorf("%s %q %w", what, id, ErrNotFound)
	}
	return o, err
}

// list asks for all objects, or for those with a name.
func list[T any](c *Client, call func(API) ([]T, error)) ([]T, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	return call(api)
}

// byName returns nil if there is none; names are unique.
func byName[T any](all []T, err error) (*T, error) {
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// cleanupContext is for tidying up after ctx may have ended.
func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
}
