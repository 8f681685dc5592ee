package cloud

import (
	"context"
	"fmt"

	"magalu.cloud/mke/internal/mgc"
)

// Snapshot returns one snapshot or ErrNotFound.
func (c *Client) Snapshot(ctx context.Context, id string) (*mgc.Snapshot, error) {
	return get(c, "snapshot", id, func(api API) (*mgc.Snapshot, error) { return api.GetSnapshot(ctx, id) })
}

// SnapshotByName returns nil if there is none.
func (c *Client) SnapshotByName(ctx context.Context, name string) (*mgc.Snapshot, error) {
	return byName(list(c, func(api API) ([]mgc.Snapshot, error) { return api.ListSnapshots(ctx, name) }))
}

// Snapshots returns all snapshots of the tenant.
func (c *Client) Snapshots(ctx context.Context) ([]mgc.Snapshot, error) {
	return list(c, func(api API) ([]mgc.Snapshot, error) { return api.ListSnapshots(ctx, "") })
}

// SettledSnapshot waits until nothing is under way, and returns ErrNotFound if the snapshot is gone then.
func (c *Client) SettledSnapshot(ctx context.Context, id string) (*mgc.Snapshot, error) {
	s, err := c.snapshots.wait(ctx, id, func(s *mgc.Snapshot) bool { return s == nil || settled(s.Status) })
	if err == nil && (s == nil || s.State == mgc.StorageDeleted) {
		err = fmt.Errorf("snapshot %q %w", id, ErrNotFound)
	}
	return s, err
}

// CreateSnapshot makes a snapshot and waits until it can be used. One that the cloud could not finish is returned with an error.
func (c *Client) CreateSnapshot(ctx context.Context, in mgc.SnapshotCreate) (*mgc.Snapshot, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	id, err := api.CreateSnapshot(ctx, in)
	if err != nil {
		return nil, err
	}
	s, err := c.SettledSnapshot(ctx, id)
	if err != nil {
		return nil, err
	}
	return s, failure("snapshot", s.Status, s.Error)
}

// DeleteSnapshot deletes a snapshot and waits until it is gone.
func (c *Client) DeleteSnapshot(ctx context.Context, id string) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	if err := api.DeleteSnapshot(ctx, id); err != nil {
		return err
	}
	s, err := c.snapshots.wait(ctx, id, func(s *mgc.Snapshot) bool { return s == nil || settled(s.Status) })
	if err != nil || s == nil || s.State == mgc.StorageDeleted {
		return err
	}
	return fmt.Errorf("%w to delete the snapshot, its status is %s", ErrFailed, s.Status)
}
