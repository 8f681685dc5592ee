// Package machine is what hollow VMs do: everything that the control plane of a cluster can see of a Node, without anything below
// it. A machine reads its user data, joins by the kubelet's TLS bootstrap, keeps its Node alive and moves its pods along. One
// process has thousands of them.
//
// The folder of a machine is all that is known of it, so the process may end at any time and go on where it was.
package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
)

// Spec is what a machine finds out about itself; the driver writes it.
type Spec struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Hostname    string     `json:"hostname"`
	Zone        string     `json:"zone"`
	MachineType string     `json:"machine_type"`
	VCPUs       int        `json:"vcpus"`
	RAMMB       int        `json:"ram_mb"`
	DiskGB      int        `json:"disk_gb"`
	Address     netip.Addr `json:"address"`
	Gateway     netip.Addr `json:"gateway"` // of its subnet, an address of the router
	Router      string     `json:"router"`  // network namespace of the VPC's router
	UserData    []byte     `json:"user_data"`
	Version     string     `json:"version"` // of the Kubernetes in its image
}

// Phase is what a machine shall do.
type Phase string

// The phases.
const (
	Absent  Phase = ""
	Created Phase = "created"
	Running Phase = "running"
	Paused  Phase = "paused"
	Stopped Phase = "stopped"
	Deleted Phase = "deleted" // its folder is being removed
)

// Folder is a machine's.
type Folder string

const (
	specFile     = "vm.json"
	phaseFile    = "phase"
	identityFile = "kubelet.json"
	consoleFile  = "console.log"
)

func (f Folder) path(name string) string { return filepath.Join(string(f), name) }

// Console is the path of what the machine said.
func (f Folder) Console() string { return f.path(consoleFile) }

// Phase of the machine.
func (f Folder) Phase() (Phase, error) {
	data, err := os.ReadFile(f.path(phaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Absent, nil
	}
	return Phase(data), err
}

// SetPhase records what the machine shall do.
func (f Folder) SetPhase(p Phase) error { return WriteFile(f.path(phaseFile), []byte(p)) }

// SetSpec records what the machine is; what it was told once stays.
func (f Folder) SetSpec(s Spec) error { return f.write(specFile, s) }

func (f Folder) spec() (s Spec, err error) { return s, f.read(specFile, &s) }

func (f Folder) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return WriteFile(f.path(name), data)
}

func (f Folder) read(name string, v any) error {
	data, err := os.ReadFile(f.path(name))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", f.path(name), err)
	}
	return nil
}

// WriteFile replaces a file in one step: whoever is killed leaves the old or the new one.
func WriteFile(path string, data []byte) error {
	next := path + ".new"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, path)
}

var fullID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// List returns the ids of all machines below dir.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if fullID.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
