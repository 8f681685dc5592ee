package benchsite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"magalu.cloud/mke/internal/mgc"
)

// Region is the region that is up, and its customer.
type Region struct {
	Name, Endpoint, CAFile string
	ManagementKubeconfig   string // a file
	Key                    string
	Cloud                  *mgc.Client
}

// OpenRegion asks `mke status`.
func OpenRegion(ctx context.Context, bin, data string) (*Region, error) {
	out, err := Output(exec.CommandContext(ctx, filepath.Join(bin, "mke"), "status", "--data-dir", data, "-o", "json"))
	if err != nil {
		return nil, fmt.Errorf("mke status: %w; start a region first: make up", err)
	}
	var status struct {
		Region               string `json:"region"`
		Endpoint             string `json:"endpoint"`
		CAFile               string `json:"ca_file"`
		APIKeyFile           string `json:"api_key_file"`
		ManagementKubeconfig string `json:"management_kubeconfig"`
	}
	if err := json.Unmarshal(out, &status); err != nil {
		return nil, fmt.Errorf("mke status: %w", err)
	}
	key, err := os.ReadFile(status.APIKeyFile)
	if err != nil {
		return nil, err
	}
	r := &Region{Name: status.Region, Endpoint: status.Endpoint, CAFile: status.CAFile, ManagementKubeconfig: status.ManagementKubeconfig,
		Key: strings.TrimSpace(string(key))}
	r.Cloud, err = mgc.New(mgc.Config{Endpoint: "https://198.18.0.1:8443/" + r.Name, APIKey: r.Key, CAFile: r.CAFile})
	return r, err
}
