// Package platform brings a whole region up and down on one machine: images, the local cloud's daemon,
// the management cluster, the platform in it, and the first customer cluster.
package platform

import (
	"os"
	"path/filepath"
)

// DefaultDataDir holds all state unless --data-dir or MKE_DATA_DIR says otherwise.
const DefaultDataDir = "/var/lib/mke"

// Paths names every file of a region below one data folder.
type Paths struct{ Data string }

func (p Paths) join(parts ...string) string {
	return filepath.Join(append([]string{p.Data}, parts...)...)
}

func (p Paths) Lock() string                 { return p.join("up.lock") }
func (p Paths) Cloud() string                { return p.join("cloud") }
func (p Paths) CloudSocket() string          { return p.join("cloud", "run", "cloud.sock") }
func (p Paths) CloudPID() string             { return p.join("cloud", "run", "cloud.pid") }
func (p Paths) CloudLog() string             { return p.join("logs", "cloud.log") }
func (p Paths) Bootstrap() string            { return p.join("pki", "bootstrap.json") }
func (p Paths) PKI(name string) string       { return p.join("pki", name) }
func (p Paths) CAFile() string               { return p.join("pki", "ca.crt") }
func (p Paths) APIKeyFile() string           { return p.join("api-key") }
func (p Paths) ManagementKubeconfig() string { return p.join("management.kubeconfig") }
func (p Paths) RegionFile() string           { return p.join("region.json") }
func (p Paths) HostLimits() string           { return p.join("host-limits.json") }
func (p Paths) Quotas() string               { return p.join("quotas.json") }
func (p Paths) MgcConfig() string            { return p.join("mgc") }
func (p Paths) Kubeconfig(cluster string) string {
	return p.join("kubeconfigs", cluster+".yaml")
}

// writeFile replaces a file in one step, so that a killed run leaves the old or the new one.
func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if err := tmp.Chmod(mode); err != nil {
		return err
	}
	if _, err := tmp.Write(data); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
