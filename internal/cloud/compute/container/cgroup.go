package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupDir = "/sys/fs/cgroup"

// cgroups returns the VM's cgroup in every hierarchy: one on version 2, one per
// controller on version 1. Without an id it is their parents.
func (d *Driver) cgroups(id string) []string {
	below := func(root string) string { return filepath.Join(root, d.CgroupParent, id) }
	if _, err := os.Stat(filepath.Join(cgroupDir, "cgroup.controllers")); err == nil {
		return []string{below(cgroupDir)}
	}
	entries, _ := os.ReadDir(cgroupDir) // without any there is nothing to find
	var paths []string
	for _, entry := range entries {
		if entry.IsDir() { // links are second names of the same hierarchy
			paths = append(paths, below(filepath.Join(cgroupDir, entry.Name())))
		}
	}
	return paths
}

// shares is what all VMs together get of a busy host: as much as 8 processes.
const shares = "8192"

// weigh gives the VMs' common cgroup its share. On version 1 each of the host's
// processes counts as much as a whole cgroup, and a compiler beside the region
// would starve it. It is only a preference: that it fails does not matter.
func (d *Driver) weigh() {
	for _, path := range d.cgroups("") {
		_ = os.WriteFile(filepath.Join(path, "cpu.shares"), []byte(shares), 0) // exists in one hierarchy of version 1
	}
}

// removeCgroups kills what still runs in the VM's cgroups and removes them.
func (d *Driver) removeCgroups(ctx context.Context, id string) error {
	deadline := time.Now().Add(10 * time.Second)
	for _, path := range d.cgroups(id) {
		for {
			err := removeCgroup(path)
			if err == nil {
				break
			}
			if ctx.Err() != nil || time.Now().After(deadline) {
				return fmt.Errorf("remove cgroup %s: %w", path, err)
			}
			time.Sleep(10 * time.Millisecond) // processes take a moment to die, and tell nobody
		}
	}
	return nil
}

func removeCgroup(path string) error {
	var folders []string
	err := filepath.WalkDir(path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	// On version 1 paused processes do not even die.
	_ = os.WriteFile(filepath.Join(path, "freezer.state"), []byte("THAWED"), 0)
	// Version 2 kills all at once; elsewhere the file does not exist.
	_ = os.WriteFile(filepath.Join(path, "cgroup.kill"), []byte("1"), 0)
	slices.Reverse(folders) // children before parents
	for _, folder := range folders {
		procs, _ := os.ReadFile(filepath.Join(folder, "cgroup.procs"))
		for _, field := range strings.Fields(string(procs)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
