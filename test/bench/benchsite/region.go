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
	bin, data              string
	Name, Endpoint, CAFile string
	ManagementKubeconfig   string // a file
	Key                    string
	Cloud                  *mgc.Client
}

// BringUp takes the region that is up, or brings one up and returns how to take it down.
func BringUp(ctx context.Context, bin, data string) (r *Region, down func(), err error) {
	down = func() {}
	if _, err := mke(ctx, bin, data, "status", "-o", "json"); err != nil {
		fmt.Println("bringing a region up")
		if out, err := mke(ctx, bin, data, "up", "--no-demo"); err != nil {
			return nil, down, fmt.Errorf("mke up: %w\n%s", err, out)
		}
		down = func() { _, _ = mke(context.WithoutCancel(ctx), bin, data, "down") }
	}
	if r, err = OpenRegion(ctx, bin, data); err != nil {
		down()
	}
	return r, down, err
}

func mke(ctx context.Context, bin, data, verb string, args ...string) ([]byte, error) {
	return Output(exec.CommandContext(ctx, filepath.Join(bin, "mke"), append([]string{verb, "--data-dir", data}, args...)...))
}

// OpenRegion asks `mke status`.
func OpenRegion(ctx context.Context, bin, data string) (*Region, error) {
	out, err := mke(ctx, bin, data, "status", "-o", "json")
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
	r := &Region{bin: bin, data: data, Name: status.Region, Endpoint: status.Endpoint, CAFile: status.CAFile, ManagementKubeconfig: status.ManagementKubeconfig,
		Key: strings.TrimSpace(string(key))}
	r.Cloud, err = mgc.New(mgc.Config{Endpoint: "https://198.18.0.1:8443/" + r.Name, APIKey: r.Key, CAFile: r.CAFile})
	return r, err
}

// MGC runs `mgc kubernetes` as the region's customer and returns its data.
func (r *Region) MGC(ctx context.Context, args ...string) ([]byte, error) {
	return mgcKubernetes(ctx, r.bin, r.data, args...)
}

func mgcKubernetes(ctx context.Context, bin, data string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "mgc"), append([]string{"kubernetes"}, append(args, "--raw")...)...)
	cmd.Env = append(os.Environ(), "MGC_CONFIG_DIR="+filepath.Join(data, "mgc"))
	out, err := Output(cmd)
	if err != nil {
		return nil, fmt.Errorf("mgc kubernetes %s %s: %w", args[0], args[1], err)
	}
	return out, nil
}
