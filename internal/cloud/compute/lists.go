package compute

import (
	"net/http"
	"slices"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

// typeOrder: all types were there from the start.
var typeOrder = httpapi.Order[MachineType]{
	"created_at": func(MachineType, MachineType) int { return 0 },
	"id":         httpapi.By(func(t MachineType) string { return t.ID }),
	"name":       httpapi.By(func(t MachineType) string { return t.Name }),
	"vcpus":      httpapi.By(func(t MachineType) int { return t.VCPUs }),
	"ram":        httpapi.By(func(t MachineType) int { return t.RAM }),
	"disk":       httpapi.By(func(t MachineType) int { return t.Disk }),
	"gpu":        httpapi.By(func(t MachineType) int { return t.GPU }),
}

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
		if types, err = httpapi.Sort(r, "_sort", "created_at:asc", types, typeOrder); err != nil {
			return err
		}
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

// imageOrder: every image is for Linux, and none has an end of life.
var imageOrder = httpapi.Order[imageView]{
	"platform":    func(imageView, imageView) int { return 0 },
	"end_life_at": func(imageView, imageView) int { return 0 },
	"id":          httpapi.By(func(v imageView) string { return v.ID }),
	"name":        httpapi.By(func(v imageView) string { return v.Name }),
	"version":     httpapi.By(func(v imageView) string { return v.Version }),
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
	if views, err = httpapi.Sort(r, "_sort", "platform:asc,end_life_at:desc", views, imageOrder); err != nil {
		return err
	}
	part := httpapi.Slice(views, page)
	httpapi.JSON(w, http.StatusOK, map[string]any{"images": part, "meta": newPageMeta(page.Limit, page.Offset, len(part), len(views))})
	return nil
}
