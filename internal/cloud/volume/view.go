package volume

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"magalu.cloud/mke/internal/cloud/httpapi"
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
	Type             any             `json:"type"`
	Error            *errorView      `json:"error"`
	Attachment       *attachmentView `json:"attachment"`
	AvailabilityZone string          `json:"availability_zone"`
	Encrypted        bool            `json:"encrypted"`
}

type attachmentView struct {
	Instance   any     `json:"instance"`
	AttachedAt string  `json:"attached_at"`
	Device     *string `json:"device"`
}

type machineView struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Status    string `json:"status"`
	State     string `json:"state"`
	CreatedAt string `json:"created_at"`
	UpdatedAt string `json:"updated_at"`
}

// expansion is the names in the parameter expand, which clients write in several ways.
func expansion(r *http.Request) []string {
	var names []string
	for _, value := range r.URL.Query()["expand"] {
		for _, name := range strings.Split(value, ",") {
			names = append(names, strings.Trim(name, ` "[]'`))
		}
	}
	return names
}

func errorOf(slug, message string) *errorView {
	if slug == "" {
		return nil
	}
	return &errorView{slug, message}
}

func (s *Service) view(ctx context.Context, v volume, expand []string) (volumeView, error) {
	view := volumeView{
		ID: v.ID, Name: v.Name, Size: v.Size, Status: v.Status, State: v.State, CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt,
		Type: idView{v.TypeID}, Error: errorOf(v.ErrorSlug, v.ErrorMessage), AvailabilityZone: v.Zone,
	}
	if t, ok := findType(ref{ID: v.TypeID}); ok && slices.Contains(expand, "volume_type") {
		view.Type = t
	}
	if v.InstanceID == "" {
		return view, nil
	}
	device := "/dev/" + v.Device
	view.Attachment = &attachmentView{Instance: idView{v.InstanceID}, AttachedAt: v.AttachedAt, Device: &device}
	if !slices.Contains(expand, "attachment") {
		return view, nil
	}
	i, err := s.Instances(ctx, s.db, v.InstanceID)
	if errors.Is(err, store.ErrNotFound) { // it was just deleted
		return view, nil
	}
	view.Attachment.Instance = machineView{ID: i.ID, Name: i.Name, Status: i.Status, State: i.State, CreatedAt: i.CreatedAt, UpdatedAt: i.UpdatedAt}
	return view, err
}

// snapshotView is SnapshotResponse.
type snapshotView struct {
	ID                string     `json:"id"`
	Name              string     `json:"name"`
	Size              int64      `json:"size"`
	Description       string     `json:"description"`
	State             string     `json:"state"`
	Status            string     `json:"status"`
	CreatedAt         string     `json:"created_at"`
	UpdatedAt         string     `json:"updated_at"`
	Volume            any        `json:"volume"`
	Error             *errorView `json:"error"`
	AvailabilityZones []string   `json:"availability_zones"`
	Type              string     `json:"type"`
	Encrypted         bool       `json:"encrypted"`
	CreationType      string     `json:"creation_type"`
}

type snapshotVolumeView struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Size int64  `json:"size"`
	Type ref    `json:"type"`
}

func (s *Service) snapshotView(ctx context.Context, n snapshot, expand []string) (snapshotView, error) {
	view := snapshotView{
		ID: n.ID, Name: n.Name, Size: n.Size, Description: n.Description, State: n.State, Status: n.Status,
		CreatedAt: n.CreatedAt, UpdatedAt: n.UpdatedAt, Volume: idView{n.VolumeID}, Error: errorOf(n.ErrorSlug, n.ErrorMessage),
		AvailabilityZones: s.zonesOf(n), Type: n.Type, CreationType: "manual",
	}
	if !slices.Contains(expand, "volume") {
		return view, nil
	}
	v, err := findVolume(ctx, s.db, n.VolumeID)
	if errors.Is(err, store.ErrNotFound) { // both were just deleted
		return view, nil
	}
	t, _ := findType(ref{ID: v.TypeID})
	view.Volume = snapshotVolumeView{ID: v.ID, Name: v.Name, Size: v.Size, Type: ref{ID: t.ID, Name: t.Name}}
	return view, err
}

// zonesOf returns where a snapshot can be restored: an instant one lies beside its volume.
func (s *Service) zonesOf(n snapshot) []string {
	if n.Type == "object" {
		return s.Zones
	}
	return []string{n.Zone}
}

const maxLimit = 1000

type pageView struct {
	Offset   int `json:"offset"`
	Limit    int `json:"limit"`
	Count    int `json:"count"`
	Total    int `json:"total"`
	MaxLimit int `json:"max_limit"`
}

func meta(p httpapi.Page, count int, total int64) map[string]any {
	return map[string]any{"page": pageView{Offset: p.Offset, Limit: p.Limit, Count: count, Total: int(total), MaxLimit: maxLimit}}
}
