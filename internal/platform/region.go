package platform

import (
	"encoding/json"
	"errors"
	"os"
)

// regionFile is what `mke up` remembers of a region: only what cannot be asked of the cloud.
type regionFile struct {
	Region   string `json:"region"`
	Endpoint string `json:"endpoint"`
}

func loadRegion(p Paths) (*regionFile, error) {
	data, err := os.ReadFile(p.RegionFile())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &regionFile{}
	return r, json.Unmarshal(data, r)
}

func (r *regionFile) save(p Paths) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(p.RegionFile(), data, 0o644)
}
