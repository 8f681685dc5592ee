package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/compute"
)

// SetDevices gives a VM that was created or runs these block devices, and no others. A VM that does not run has no /dev.
func (d *Driver) SetDevices(ctx context.Context, id string, devices []compute.Device) error {
	state, err := d.inspect(ctx, id)
	if err != nil || state.PID == 0 || state.Status == "stopped" {
		return err
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/%d/root", state.PID)) // links of the VM do not lead out of it
	if err != nil {
		return err
	}
	defer root.Close()
	if err := MakeDevices(root, devices); err != nil {
		return err
	}
	return d.limitDevices(id, devices)
}

var (
	volumeNode = regexp.MustCompile(`^vd[b-z]$`)
	volumeLink = regexp.MustCompile(`^virtio-`)
)

const (
	linkDir  = "dev/disk/by-id"
	diskMode = 0o660
)

// MakeDevices makes the nodes of block devices, with links by their serial
// numbers, in the dev folder of a root file system, and removes those of others.
// Nodes of loop devices are made too, for programs that put one upon a volume.
func MakeDevices(root *os.Root, devices []compute.Device) error {
	if err := root.MkdirAll(linkDir, 0o755); err != nil {
		return err
	}
	nodes, links := map[string]bool{}, map[string]bool{}
	for _, device := range devices {
		nodes[device.Name], links["virtio-"+device.Serial] = true, true
		if err := makeNode(root, device.Name, device.Major, device.Minor); err != nil {
			return err
		}
		if err := makeLink(root, "../../"+device.Name, filepath.Join(linkDir, "virtio-"+device.Serial)); err != nil {
			return err
		}
	}
	return errors.Join(removeOthers(root, linkDir, volumeLink, links), removeOthers(root, "dev", volumeNode, nodes), makeLoops(root))
}

func makeNode(root *os.Root, name string, major, minor uint32) error {
	path, number := filepath.Join("dev", name), unix.Mkdev(major, minor)
	info, err := root.Lstat(path)
	if err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && info.Mode()&fs.ModeDevice != 0 && st.Rdev == number {
			return nil
		}
		if err := root.Remove(path); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir, err := root.Open("dev")
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Mknodat(int(dir.Fd()), name, unix.S_IFBLK|diskMode, int(number)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("make device %s: %w", name, err)
	}
	return nil
}

func makeLink(root *os.Root, target, path string) error {
	if present, err := root.Readlink(path); err == nil && present == target {
		return nil
	}
	if err := root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return root.Symlink(target, path)
}

func removeOthers(root *os.Root, dir string, pattern *regexp.Regexp, keep map[string]bool) error {
	folder, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !pattern.MatchString(name) || keep[name] {
			continue
		}
		if err := root.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

const (
	loopMajor  = 7
	spareLoops = 64 // nodes beyond the loop devices there are: more can appear until this is called again
)

func makeLoops(root *os.Root) error {
	found, err := filepath.Glob("/sys/block/loop*")
	if err != nil {
		return err
	}
	highest := 0
	for _, path := range found {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), "loop"))
		if err == nil {
			highest = max(highest, n)
		}
	}
	for n := range highest + spareLoops {
		if err := makeNode(root, "loop"+strconv.Itoa(n), loopMajor, uint32(n)); err != nil {
			return err
		}
	}
	return nil
}

// Pause stops all processes of a running VM until Resume.
func (d *Driver) Pause(ctx context.Context, id string) error {
	state, err := d.inspect(ctx, id)
	if err != nil || state.Status == "paused" {
		return err
	}
	return d.runc(ctx, id, nil, "pause", d.name(id))
}

// Resume continues a VM that was paused.
func (d *Driver) Resume(ctx context.Context, id string) error {
	state, err := d.inspect(ctx, id)
	if err != nil || state.Status != "paused" {
		return err
	}
	return d.runc(ctx, id, nil, "resume", d.name(id))
}
