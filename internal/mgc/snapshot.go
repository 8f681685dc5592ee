package mgc

import (
	"context"
	"net/http"
	"net/url"
	"slices"
)

// Types of a Snapshot.
const (
	SnapshotInstant = "instant"
	SnapshotObject  = "object"
)

// Snapshot is the content of a volume at one moment; its size is in GiB.
type Snapshot struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Size        int    `json:"size"`
	Type        string `json:"type"`
	Status      string `json:"status"`
	State       string `json:"state"`
	// Volume that the snapshot is of, nil once it is gone.
	Volume            *Ref           `json:"volume"`
	AvailabilityZones []string       `json:"availability_zones"`
	Encrypted         bool           `json:"encrypted"`
	Error             *InstanceFault `json:"error"`
	CreatedAt         string         `json:"created_at"`
}

// VolumeID of the volume that the snapshot is of, empty once it is gone.
func (s *Snapshot) VolumeID() string {
	if s.Volume == nil {
		return ""
	}
	return s.Volume.ID
}

// SnapshotCreate is the wanted snapshot.
type SnapshotCreate struct {
	// Name, 3 to 50 characters, unique in the tenant.
	Name        string `json:"name"`
	Description string `json:"description"`
	Volume      *Ref   `json:"volume,omitempty"`
	// Type is instant or object, the cloud's default if empty.
	Type string `json:"type,omitempty"`
}

func snapshotURL(id string) string { return "/v1/snapshots/" + url.PathEscape(id) }

// CreateSnapshot starts the creation and returns the new id. A taken name is a conflict.
func (c *VolumeClient) CreateSnapshot(ctx context.Context, in SnapshotCreate) (string, error) {
	return c.create(ctx, request{path: "/v1/snapshots", in: in})
}

// GetSnapshot returns one snapshot.
func (c *VolumeClient) GetSnapshot(ctx context.Context, id string) (*Snapshot, error) {
	return fetch[Snapshot](ctx, c.caller, snapshotURL(id))
}

// ListSnapshots returns all snapshots of the tenant, or only the one with this name.
func (c *VolumeClient) ListSnapshots(ctx context.Context, name string) ([]Snapshot, error) {
	all, err := collect(func(offset int) ([]Snapshot, int, error) {
		query := pageQuery(offset)
		query.Set("_limit", storagePage)
		if name != "" {
			query.Set("name", name)
		}
		var out struct {
			Snapshots []Snapshot `json:"snapshots"`
			Meta      page       `json:"meta"`
		}
		err := c.get(ctx, "/v1/snapshots", query, &out)
		return out.Snapshots, out.Meta.Page.Total, err
	})
	return slices.DeleteFunc(all, func(s Snapshot) bool { return name != "" && s.Name != name }), err
}

// DeleteSnapshot starts the deletion. A snapshot from which a volume was restored that still exists is a conflict.
func (c *VolumeClient) DeleteSnapshot(ctx context.Context, id string) error {
	return c.delete(ctx, snapshotURL(id), nil)
}

// RenameSnapshot changes the name.
func (c *VolumeClient) RenameSnapshot(ctx context.Context, id, name string) error {
	return c.do(ctx, request{method: http.MethodPatch, path: snapshotURL(id) + "/rename", in: map[string]string{"name": name}})
}
