package volume

import (
	"encoding/json"
	"regexp"

	"magalu.cloud/mke/internal/cloud/httpapi"
)

const (
	minName, maxName = 3, 50
	minSize, maxSize = 10, 1 << 31 // GiB
	maxDescription   = 255
)

func validateName(name *string) error {
	switch {
	case name == nil:
		return httpapi.Invalid("name: Field required")
	case len([]rune(*name)) < minName:
		return httpapi.Invalid("name: String should have at least %d characters", minName)
	case len([]rune(*name)) > maxName:
		return httpapi.Invalid("name: String should have at most %d characters", maxName)
	}
	return nil
}

func validateSize(size *int64) error {
	switch {
	case size == nil:
		return httpapi.Invalid("size: Field required")
	case *size < minSize:
		return httpapi.Invalid("size: Input should be greater than or equal to %d", minSize)
	case *size > maxSize:
		return httpapi.Invalid("size: Input should be less than or equal to %d", maxSize)
	}
	return nil
}

func validateRef(field string, r *ref) error {
	switch {
	case r == nil:
		return httpapi.Invalid("%s: Field required", field)
	case r.ID == "" && r.Name == "":
		return httpapi.Invalid("%s: an id or a name is required", field)
	}
	return nil
}

// createVolumeRequest is VolumeCreateRequestV1. Pointers tell a missing field from an empty one.
type createVolumeRequest struct {
	Name      *string `json:"name"`
	Size      *int64  `json:"size"`
	Type      *ref    `json:"type"`
	Zone      *string `json:"availability_zone"`
	Snapshot  *ref    `json:"snapshot"`
	Encrypted bool    `json:"encrypted"`
}

func (c createVolumeRequest) validate() error {
	if err := validateName(c.Name); err != nil {
		return err
	}
	if err := validateSize(c.Size); err != nil {
		return err
	}
	if err := validateRef("type", c.Type); err != nil {
		return err
	}
	if c.Snapshot != nil {
		if err := validateRef("snapshot", c.Snapshot); err != nil {
			return err
		}
	}
	if c.Encrypted {
		return httpapi.Invalid("encrypted: no volume type of this region allows encryption (allows_encryption is false); create the volume without it")
	}
	return nil
}

// createSnapshotRequest is SnapshotCreationRequest.
type createSnapshotRequest struct {
	Name        *string  `json:"name"`
	Description nullable `json:"description"`
	Volume      *ref     `json:"volume"`
	Source      *ref     `json:"source_snapshot"`
	Type        *string  `json:"type"`
}

// nullable is a text that must be given, and may be null.
type nullable struct {
	given bool
	text  string
}

func (n *nullable) UnmarshalJSON(data []byte) error {
	n.given = true
	return json.Unmarshal(data, &n.text) // null leaves it empty
}

func (c createSnapshotRequest) validate() error {
	if err := validateName(c.Name); err != nil {
		return err
	}
	switch {
	case !c.Description.given:
		return httpapi.Invalid("description: Field required")
	case len([]rune(c.Description.text)) > maxDescription:
		return httpapi.Invalid("description: String should have at most %d characters", maxDescription)
	case c.Type != nil && *c.Type != "instant" && *c.Type != "object":
		return httpapi.Invalid("type: Input should be 'instant' or 'object'")
	case (c.Volume == nil) == (c.Source == nil):
		return httpapi.Invalid("volume: either volume or source_snapshot is required")
	case c.Volume != nil:
		return validateRef("volume", c.Volume)
	}
	return validateRef("source_snapshot", c.Source)
}

// devicePath is what an attachment may ask for; vda is the root disk.
var devicePath = regexp.MustCompile(`^/dev/(vd[b-z])$`)

// maxVolumes is how many volumes an instance can have: vdb to vdz.
const maxVolumes = 25

func deviceNames() []string {
	var names []string
	for i := range maxVolumes {
		names = append(names, "vd"+string(rune('b'+i)))
	}
	return names
}
