package compute

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// MachineType is a size of instances. RAM is in MiB, Disk in GiB.
type MachineType struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	VCPUs             int      `json:"vcpus"`
	RAM               int      `json:"ram"`
	Disk              int      `json:"disk"`
	GPU               int      `json:"gpu"`
	Status            string   `json:"status"`
	AvailabilityZones []string `json:"availability_zones"`
}

// sizes are vCPUs and GiB of RAM of the public grid.
var sizes = [][2]int{{1, 1}, {1, 2}, {1, 4}, {2, 2}, {2, 4}, {2, 8}, {4, 8}, {4, 16}, {8, 16}, {8, 32}}

var disks = []int{10, 20, 40, 100, 150}

// hollowFamily are the machine types whose VMs are hollow.
const hollowFamily = "HL"

func machineTypes(zones []string) []MachineType {
	var types []MachineType
	for _, family := range []string{"BV", hollowFamily} {
		for _, size := range sizes {
			for _, disk := range disks {
				name := fmt.Sprintf("%s%d-%d-%d", family, size[0], size[1], disk)
				types = append(types, MachineType{ID: stableID("machine-type/" + name), Name: name, VCPUs: size[0], RAM: size[1] * 1024,
					Disk: disk, Status: "active", AvailabilityZones: zones})
			}
		}
	}
	return types
}

func (t MachineType) hollow() bool { return strings.HasPrefix(t.Name, hollowFamily) }

// hollowTypes are the ids of the hollow machine types.
var hollowTypes = func() map[string]bool {
	ids := map[string]bool{}
	for _, t := range machineTypes(nil) {
		if t.hollow() {
			ids[t.ID] = true
		}
	}
	return ids
}()

// Hollow tells whether the instance's VM has nothing inside: no processes, no disks, no link.
func (i Instance) Hollow() bool { return hollowTypes[i.MachineTypeID] }

// driver of an instance, which is the same as long as it exists: see retype.
func (s *Service) driver(i Instance) Driver {
	if i.Hollow() {
		return s.Hollow
	}
	return s.Driver
}

// stableID derives the id of something that is not in the database from its name.
func stableID(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("mke.cloud/"+name)).String()
}

// ref is how users point at things: by id or by name; the id wins.
type ref struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func (r ref) matches(id, name string) bool {
	if r.ID != "" {
		return r.ID == id
	}
	return r.Name == name
}

func findMachineType(types []MachineType, want ref) (MachineType, bool) {
	i := slices.IndexFunc(types, func(t MachineType) bool { return want.matches(t.ID, t.Name) })
	if i < 0 {
		return MachineType{}, false
	}
	return types[i], true
}

func findImage(images []Image, want ref) (Image, bool) {
	i := slices.IndexFunc(images, func(image Image) bool { return want.matches(image.ID, image.Name) })
	if i < 0 {
		return Image{}, false
	}
	return images[i], true
}

// ImageID is the id of the image of that name.
func ImageID(name string) string { return stableID("image/" + name) }
