package cloud

import (
	"context"
	"fmt"

	"magalu.cloud/mke/internal/mgc"
)

// Volume returns one volume or ErrNotFound.
func (c *Client) Volume(ctx context.Context, id string) (*mgc.Volume, error) {
	return get(c, "volume", id, func(api API) (*mgc.Volume, error) { return api.Get(ctx, id) })
}

// VolumeByName returns nil if there is none.
func (c *Client) VolumeByName(ctx context.Context, name string) (*mgc.Volume, error) {
	return byName(list(c, func(api API) ([]mgc.Volume, error) { return api.List(ctx, name) }))
}

// Volumes returns all volumes of the tenant.
func (c *Client) Volumes(ctx context.Context) ([]mgc.Volume, error) {
	return list(c, func(api API) ([]mgc.Volume, error) { return api.List(ctx, "") })
}

// SettledVolume waits until nothing is under way, and returns ErrNotFound if the volume is gone then.
func (c *Client) SettledVolume(ctx context.Context, id string) (*mgc.Volume, error) {
	v, err := c.volumes.wait(ctx, id, func(v *mgc.Volume) bool { return v == nil || settled(v.Status) })
	if err == nil && (v == nil || v.State == mgc.StorageDeleted) {
		err = fmt.Errorf("volume %q %w", id, ErrNotFound)
	}
	return v, err
}

// CreateVolume makes a volume and waits until it can be used. One that the cloud could not finish is returned with an error.
func (c *Client) CreateVolume(ctx context.Context, in mgc.VolumeCreate) (*mgc.Volume, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	id, err := api.Create(ctx, in)
	if err != nil {
		return nil, err
	}
	return c.sound(ctx, id)
}

// DeleteVolume deletes a volume and waits until it is gone.
func (c *Client) DeleteVolume(ctx context.Context, id string) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	if err := api.Delete(ctx, id); err != nil {
		return err
	}
	v, err := c.volumes.wait(ctx, id, func(v *mgc.Volume) bool { return v == nil || settled(v.Status) })
	if err != nil || v == nil || v.State == mgc.StorageDeleted {
		return err
	}
	return fmt.Errorf("%w to delete the volume, its status is %s", ErrFailed, v.Status)
}

// AttachVolume plugs a volume into an instance and waits until the device is there.
func (c *Client) AttachVolume(ctx context.Context, id, instanceID string) (*mgc.Volume, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	if err := api.Attach(ctx, id, instanceID); err != nil {
		return nil, err
	}
	v, err := c.sound(ctx, id)
	if err == nil && v.AttachedTo() != instanceID {
		err = fmt.Errorf("%w to attach the volume, its state is %s", ErrFailed, v.State)
	}
	return v, err
}

// DetachVolume unplugs a volume from the instance that has it and waits until the device is gone.
func (c *Client) DetachVolume(ctx context.Context, id, _ string) error {
	api, err := c.connect()
	if err != nil {
		return err
	}
	if err := api.Detach(ctx, id); err != nil {
		return err
	}
	v, err := c.sound(ctx, id)
	if err == nil && v.AttachedTo() != "" {
		err = fmt.Errorf("volume %q %w to instance %s", id, ErrInUse, v.AttachedTo())
	}
	return err
}

// ExtendVolume makes a volume larger and waits until it is.
func (c *Client) ExtendVolume(ctx context.Context, id string, size int) (*mgc.Volume, error) {
	api, err := c.connect()
	if err != nil {
		return nil, err
	}
	if err := api.Extend(ctx, id, size); err != nil {
		return nil, err
	}
	v, err := c.sound(ctx, id)
	if err == nil && v.Size < size {
		err = fmt.Errorf("%w to extend the volume, it has %d GiB", ErrFailed, v.Size)
	}
	return v, err
}

// sound waits until a volume has settled, and returns it with an error if something went wrong with it.
func (c *Client) sound(ctx context.Context, id string) (*mgc.Volume, error) {
	v, err := c.SettledVolume(ctx, id)
	if err != nil {
		return nil, err
	}
	return v, failure("volume", v.Status, v.Error)
}
