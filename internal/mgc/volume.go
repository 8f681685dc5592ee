package mgc

import (
	"context"
	"net/http"
	"net/url"
	"slices"
)

// VolumeClient calls the block storage product.
type VolumeClient struct{ *caller }

// States of a Volume and of a Snapshot.
const (
	StorageNew       = "new"
	StorageAvailable = "available"
	StorageInUse     = "in-use"
	StorageDeleted   = "deleted"
)

// StorageCompleted is the status of a Volume or Snapshot on which nothing is under way. Statuses that contain "error" are settled, too.
const StorageCompleted = "completed"

// MinVolumeSize is the smallest volume, in GiB.
const MinVolumeSize = 10

// Volume is a block device; its size is in GiB.
type Volume struct {
	ID               string            `json:"id"`
	Name             string            `json:"name"`
	Size             int               `json:"size"`
	Status           string            `json:"status"`
	State            string            `json:"state"`
	AvailabilityZone string            `json:"availability_zone"`
	Encrypted        bool              `json:"encrypted"`
	Type             VolumeType        `json:"type"`
	Attachment       *VolumeAttachment `json:"attachment"`
	Error            *InstanceFault    `json:"error"`
	CreatedAt        string            `json:"created_at"`
}

// AttachedTo returns the id of the instance that has the volume, empty for none.
func (v *Volume) AttachedTo() string {
	if v.Attachment == nil {
		return ""
	}
	return v.Attachment.Instance.ID
}

// VolumeAttachment says where a volume is plugged in.
type VolumeAttachment struct {
	Instance   Ref    `json:"instance"`
	Device     string `json:"device"`
	AttachedAt string `json:"attached_at"`
}

// VolumeType is a class of volumes.
type VolumeType struct {
	ID                string     `json:"id"`
	Name              string     `json:"name"`
	DiskType          string     `json:"disk_type"`
	Status            string     `json:"status"`
	IOPS              VolumeIOPS `json:"iops"`
	AvailabilityZones []string   `json:"availability_zones"`
	AllowsEncryption  bool       `json:"allows_encryption"`
}

// VolumeIOPS is the speed of a volume type, in operations per second.
type VolumeIOPS struct {
	Read  int `json:"read"`
	Write int `json:"write"`
	Total int `json:"total"`
}

// VolumeCreate is the wanted volume.
type VolumeCreate struct {
	// Name, 3 to 50 characters, unique in the tenant.
	Name string `json:"name"`
	// Size in GiB.
	Size             int    `json:"size"`
	Type             Ref    `json:"type"`
	AvailabilityZone string `json:"availability_zone,omitempty"`
	// Snapshot that the volume starts with, nil for an empty volume.
	Snapshot  *Ref `json:"snapshot,omitempty"`
	Encrypted bool `json:"encrypted"`
}

// storagePage is the most that the product answers at once.
const storagePage = "100"

var volumeExpand = url.Values{"expand": {"volume_type,attachment"}}

func volumeURL(id string) string { return "/v1/volumes/" + url.PathEscape(id) }

// Create starts the creation and returns the new id. A taken name is a conflict.
func (c *VolumeClient) Create(ctx context.Context, in VolumeCreate) (string, error) {
	return c.create(ctx, request{path: "/v1/volumes", in: in})
}

// Get returns one volume.
func (c *VolumeClient) Get(ctx context.Context, id string) (*Volume, error) {
	var out Volume
	if err := c.get(ctx, volumeURL(id), volumeExpand, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// List returns all volumes of the tenant, or only the one with this name.
func (c *VolumeClient) List(ctx context.Context, name string) ([]Volume, error) {
	all, err := collect(func(offset int) ([]Volume, int, error) {
		query := pageQuery(offset)
		query.Set("_limit", storagePage)
		query["expand"] = volumeExpand["expand"]
		if name != "" {
			query.Set("name", name)
		}
		var out struct {
			Volumes []Volume `json:"volumes"`
			Meta    page     `json:"meta"`
		}
		err := c.get(ctx, "/v1/volumes", query, &out)
		return out.Volumes, out.Meta.Page.Total, err
	})
	return slices.DeleteFunc(all, func(v Volume) bool { return name != "" && v.Name != name }), err
}

// Delete starts the deletion; the volume is gone once Get answers not found. Attached volumes and ones with snapshots are a conflict.
func (c *VolumeClient) Delete(ctx context.Context, id string) error {
	return c.delete(ctx, volumeURL(id), nil)
}

// Attach starts to plug the volume into an instance of its zone.
func (c *VolumeClient) Attach(ctx context.Context, id, instanceID string) error {
	return c.do(ctx, request{method: http.MethodPost, path: volumeURL(id) + "/attach/" + url.PathEscape(instanceID)})
}

// Detach starts to unplug the volume from whatever instance has it.
func (c *VolumeClient) Detach(ctx context.Context, id string) error {
	return c.do(ctx, request{method: http.MethodPost, path: volumeURL(id) + "/detach"})
}

// Extend starts to make the volume larger.
func (c *VolumeClient) Extend(ctx context.Context, id string, size int) error {
	return c.do(ctx, request{method: http.MethodPost, path: volumeURL(id) + "/extend", in: map[string]int{"size": size}})
}

// Retype starts to change the type.
func (c *VolumeClient) Retype(ctx context.Context, id string, newType Ref) error {
	return c.do(ctx, request{method: http.MethodPost, path: volumeURL(id) + "/retype", in: map[string]Ref{"new_type": newType}})
}

// Rename changes the name.
func (c *VolumeClient) Rename(ctx context.Context, id, name string) error {
	return c.do(ctx, request{method: http.MethodPatch, path: volumeURL(id) + "/rename", in: map[string]string{"name": name}})
}

// ListTypes returns all volume types.
func (c *VolumeClient) ListTypes(ctx context.Context) ([]VolumeType, error) {
	var out struct {
		Types []VolumeType `json:"types"`
	}
	err := c.get(ctx, "/v1/volume-types", nil, &out)
	return out.Types, err
}
