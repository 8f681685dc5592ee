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

type machineTypeList struct {
	MachineTypes []MachineType `json:"machine_types"`
	Meta         pageMeta      `json:"meta"`
}

// instanceTypeList is machineTypeList under its other published name.
type instanceTypeList struct {
	InstanceTypes []MachineType `json:"instance_types"`
	Meta          pageMeta      `json:"meta"`
}

func (s *Service) listMachineTypes(r *http.Request) (*machineTypeList, error) {
	types, meta, err := s.machineTypes(r)
	return &machineTypeList{types, meta}, err
}

func (s *Service) listInstanceTypes(r *http.Request) (*instanceTypeList, error) {
	types, meta, err := s.machineTypes(r)
	return &instanceTypeList{types, meta}, err
}

func (s *Service) machineTypes(r *http.Request) ([]MachineType, pageMeta, error) {
	page, err := httpapi.ParsePage(r, 200, 1000)
	if err != nil {
		return nil, pageMeta{}, err
	}
	sorted, err := httpapi.ParseOrder(r, "_sort", "created_at:asc", typeOrder)
	if err != nil {
		return nil, pageMeta{}, err
	}
	offered := offeredAs(r)
	types := slices.DeleteFunc(slices.Clone(s.types), func(t MachineType) bool { return !offered(t.Name, t.AvailabilityZones) })
	part := httpapi.Slice(sorted(types), page)
	return part, newPageMeta(page, len(part), len(types)), nil
}

// offeredAs tells whether the request asks for things of a name and in zones.
func offeredAs(r *http.Request) func(name string, zones []string) bool {
	wanted := httpapi.TextParam(r, "name", "only those with this name")
	zone := httpapi.TextParam(r, "availability-zone", "only those that this zone has")
	return func(name string, zones []string) bool {
		return (wanted == "" || name == wanted) && (zone == "" || slices.Contains(zones, zone))
	}
}

type requirements struct {
	VCPU int `json:"vcpu"`
	RAM  int `json:"ram"`  // GiB
	Disk int `json:"disk"` // GiB
}

type imageList struct {
	Images []imageView `json:"images"`
	Meta   pageMeta    `json:"meta"`
}

type imageView struct {
	ID                  string       `json:"id"`
	Name                string       `json:"name"`
	Status              string       `json:"status"`
	Version             string       `json:"version"`
	Platform            string       `json:"platform"`
	MinimumRequirements requirements `json:"minimum_requirements"`
	Labels              []string     `json:"labels"`
	AvailabilityZones   []string     `json:"availability_zones"`
}

// imageOrder: every image is for Linux, and none has an end of life.
var imageOrder = httpapi.Order[imageView]{
	"platform":    func(imageView, imageView) int { return 0 },
	"end_life_at": func(imageView, imageView) int { return 0 },
	"id":          httpapi.By(func(v imageView) string { return v.ID }),
	"name":        httpapi.By(func(v imageView) string { return v.Name }),
	"version":     httpapi.By(func(v imageView) string { return v.Version }),
}

func (s *Service) listImages(r *http.Request) (*imageList, error) {
	page, err := httpapi.ParsePage(r, 50, 1<<31-1)
	if err != nil {
		return nil, err
	}
	sorted, err := httpapi.ParseOrder(r, "_sort", "platform:asc,end_life_at:desc", imageOrder)
	if err != nil {
		return nil, err
	}
	offered := offeredAs(r)
	images, err := s.Images.List(r.Context())
	if err != nil {
		return nil, err
	}
	views := []imageView{}
	for _, image := range images {
		if offered(image.Name, s.Zones) {
			views = append(views, imageView{ID: image.ID, Name: image.Name, Status: "active", Version: image.Version, Platform: "linux",
				MinimumRequirements: requirements{VCPU: 1, RAM: 1, Disk: 10}, Labels: []string{}, AvailabilityZones: s.Zones})
		}
	}
	part := httpapi.Slice(sorted(views), page)
	return &imageList{part, newPageMeta(page, len(part), len(views))}, nil
}
