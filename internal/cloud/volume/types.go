package volume

import (
	"fmt"

	"github.com/google/uuid"
)

type iopsView struct {
	Read  int `json:"read"`
	Write int `json:"write"`
	Total int `json:"total"`
}

// volumeType is VolumeTypeResponse; of volumes' types an id only, unless more was asked for by expand.
type volumeType struct {
	IOPS     *iopsView `json:"iops,omitempty"`
	ID       string    `json:"id"`
	Name     string    `json:"name,omitempty"`
	DiskType string    `json:"disk_type,omitempty"`
	Status   string    `json:"status,omitempty"`
}

// listedType is VolumeTypeResponseWithAzs.
type listedType struct {
	IOPS              iopsView `json:"iops"`
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	DiskType          string   `json:"disk_type"`
	Status            string   `json:"status"`
	AvailabilityZones []string `json:"availability_zones"`
	AllowsEncryption  bool     `json:"allows_encryption"`
}

// volumeTypes are all there are. Their ids are made of their names, so that they are the same in every region.
var volumeTypes = func() []volumeType {
	var types []volumeType
	for _, thousands := range []int{1, 5, 10, 15, 20} {
		name, n := fmt.Sprintf("cloud_nvme%dk", thousands), thousands*1000
		types = append(types, volumeType{
			ID: uuid.NewSHA1(uuid.NameSpaceURL, []byte("mke:volume-type:"+name)).String(), Name: name,
			DiskType: "nvme", Status: "active", IOPS: &iopsView{Read: n, Write: n, Total: n},
		})
	}
	return types
}()

// ref names something by id or by name; the id wins.
type ref struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

func findType(r ref) (volumeType, bool) {
	for _, t := range volumeTypes {
		if t.ID == r.ID || (r.ID == "" && t.Name == r.Name) {
			return t, true
		}
	}
	return volumeType{}, false
}
