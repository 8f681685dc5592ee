package compute

import (
	"net/http"
	"slices"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// listMachineTypes answers with the list under one of its two published names.
func (s *Service) listMachineTypes(key string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		page, err := httpapi.ParsePage(r, 200, 1000)
		if err != nil {
			return err
		}
		name, zone := r.URL.Query().Get("name"), r.URL.Query().Get("availability-zone")
		types := slices.DeleteFunc(slices.Clone(s.types), func(t MachineType) bool {
			return (name != "" && t.Name != name) || (zone != "" && !slices.Contains(t.AvailabilityZones, zone))
		})
		part := httpapi.Slice(types, page)
		httpapi.JSON(w, http.StatusOK, map[string]any{key: part, "meta": newPageMeta(page.Limit, page.Offset, len(part), len(types))})
		return nil
	}
}

type imageView struct {
	ID                  string         `json:"id"`
	Name                string         `json:"name"`
	Status              string         `json:"status"`
	Version             string         `json:"version"`
	Platform            string         `json:"platform"`
	MinimumRequirements map[string]int `json:"minimum_requirements"`
	Labels              []string       `json:"labels"`
	AvailabilityZones   []string       `json:"availability_zones"`
}

func (s *Service) listImages(w http.ResponseWriter, r *http.Request) error {
	page, err := httpapi.ParsePage(r, 50, 1<<31-1)
	if err != nil {
		return err
	}
	images, err := s.Images.List(r.Context())
	if err != nil {
		return err
	}
	name, zone := r.URL.Query().Get("name"), r.URL.Query().Get("availability-zone")
	views := []imageView{}
	for _, image := range images {
		if (name != "" && image.Name != name) || (zone != "" && !slices.Contains(s.Zones, zone)) {
			continue
		}
		views = append(views, imageView{ID: image.ID, Name: image.Name, Status: "active", Version: image.Version, Platform: "linux",
			MinimumRequirements: map[string]int{"vcpu": 1, "ram": 1, "disk": 10}, Labels: []string{}, AvailabilityZones: s.Zones})
	}
	part := httpapi.Slice(views, page)
	httpapi.JSON(w, http.StatusOK, map[string]any{"images": part, "meta": newPageMeta(page.Limit, page.Offset, len(part), len(views))})
	return nil
}
