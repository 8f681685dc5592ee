package volume

import (
	"context"
	"slices"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/store"
)

type idView struct {
	ID string `json:"id"`
}

type errorView struct {
	Slug    string `json:"slug"`
	Message string `json:"message"`
}

// volumeView is VolumeResponseV1. What was not asked for by expand is an id only.
type volumeView struct {
	ID               string          `json:"id"`
	Name             string          `json:"name"`
	Size             int64           `json:"size"`
	Status           string          `json:"status"`
	State            string          `json:"state"`
	CreatedAt        string          `json:"created_at"`
	UpdatedAt        string          `json:"updated_at"`
	Type             volumeType      `json:"type"`
	Error            *errorView      `json:"error"`
	Attachment       *attachmentView `json:"attachment"`
	AvailabilityZone string          `json:"availability_zone"`
	Encrypted        bool            `json:"encrypted"`
}

type attachmentView struct {
	Instance   machineView `json:"instance"`
	AttachedAt string      `json:"attached_at"`
	Device     *string     `json:"device"`
}

type machineView struct {
	ID        string `json:"id"`
	Name      string `json:"name,omitempty"`
	Status    string `json:"status,omitempty"`
	State     string `json:"state,omitempty"`
	CreatedAt string `json:"created_at,omitempty"`
	UpdatedAt string `json:"updated_at,omitempty"`
}

func errorOf(slug, message string) *errorView {
	if slug == "" {
		return nil
	}
	return &errorView{slug, message}
}

// views shows volumes, and their instances if expand says so.
func (s *Service) views(ctx context.Context, volumes []volume, expand []string) ([]volumeView, error) {
	instances := map[string]compute.Instance{}
	if slices.Contains(expand, "attachment") {
		var ids []string
		for _, v := range volumes {
			ids = append(ids, v.InstanceID)
		}
		var err error
		if instances, err = s.Instances(ctx, s.db, ids...); err != nil {
			return nil, err
		}
	}
	views := []volumeView{}
	for _, v := range volumes {
		view := viewOf(v)
		if t, ok := findType(ref{ID: v.TypeID}); ok && slices.Contains(expand, "volume_type") {
			view.Type = t
		}
		if i, ok := instances[v.InstanceID]; ok { // else it was not asked for, or was just deleted
			view.Attachment.Instance = machineView{ID: i.ID, Name: i.Name, Status: i.Status, State: i.State, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt}
		}
		views = append(views, view)
	}
	return views, nil
}

func viewOf(v volume) volumeView {
	view := volumeView{
		ID: v.ID, Name: v.Name, Size: v.Size, Status: v.Status, State: v.State, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
		Type: volumeType{ID: v.TypeID}, Error: errorOf(v.ErrorSlug, v.ErrorMessage), AvailabilityZone: v.Zone,
	}
	if v.InstanceID != "" {
		device := "/dev/" + v.Device
		view.Attachment = &attachmentView{Instance: machineView{ID: v.InstanceID}, AttachedAt: v.AttachedAt, Device: &device}
	}
	return view
}

// snapshotView is SnapshotResponse.
type snapshotView struct {
	ID                string             `json:"id"`
	Name              string             `json:"name"`
	Size              int64              `json:"size"`
	Description       string             `json:"description"`
	State             string             `json:"state"`
	Status            string             `json:"status"`
	CreatedAt         string             `json:"created_at"`
	UpdatedAt         string             `json:"updated_at"`
	Volume            snapshotVolumeView `json:"volume"`
	Error             *errorView         `json:"error"`
	AvailabilityZones []string           `json:"availability_zones"`
	Type              string             `json:"type"`
	Encrypted         bool               `json:"encrypted"`
	CreationType      string             `json:"creation_type"`
}

type snapshotVolumeView struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	Size int64  `json:"size,omitempty"`
	Type *ref   `json:"type,omitempty"`
}

// snapshotViews shows snapshots, and their volumes if expand says so.
func (s *Service) snapshotViews(ctx context.Context, snapshots []snapshot, expand []string) ([]snapshotView, error) {
	volumes := map[string]volume{}
	if slices.Contains(expand, "volume") {
		var ids []string
		for _, n := range snapshots {
			ids = append(ids, n.VolumeID)
		}
		found, err := queryVolumes(ctx, s.db, `WHERE id IN (SELECT value FROM json_each(?))`, store.Set(ids))
		if err != nil {
			return nil, err
		}
		for _, v := range found {
			volumes[v.ID] = v
		}
	}
	views := []snapshotView{}
	for _, n := range snapshots {
		view := snapshotView{
			ID: n.ID, Name: n.Name, Size: n.Size, Description: n.Description, State: n.State, Status: n.Status,
			CreatedAt: n.CreatedAt, UpdatedAt: n.UpdatedAt, Volume: snapshotVolumeView{ID: n.VolumeID}, Error: errorOf(n.ErrorSlug, n.ErrorMessage),
			AvailabilityZones: s.zonesOf(n), Type: n.Type, CreationType: "manual",
		}
		if n.SchedulerID != "" {
			view.CreationType = "scheduled"
		}
		if v, ok := volumes[n.VolumeID]; ok { // else it was not asked for, or both were just deleted
			t, _ := findType(ref{ID: v.TypeID})
			view.Volume = snapshotVolumeView{ID: v.ID, Name: v.Name, Size: v.Size, Type: &ref{ID: t.ID, Name: t.Name}}
		}
		views = append(views, view)
	}
	return views, nil
}

// zonesOf returns where a snapshot can be restored: an instant one lies beside its volume.
func (s *Service) zonesOf(n snapshot) []string {
	if n.Type == "object" {
		return s.Zones
	}
	return []string{n.Zone}
}
