package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/volume/loop"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
}

func TestDevicesAreThoseGiven(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dev"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "dev", "null"), nil, 0o600); err != nil { // something else
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	one := compute.Device{Name: "vdb", Serial: "one", Major: 7, Minor: 3}
	two := compute.Device{Name: "vdc", Serial: "two", Major: 7, Minor: 300}
	moved := compute.Device{Name: "vdb", Serial: "two", Major: 7, Minor: 300}
	for _, devices := range [][]compute.Device{{one, two}, {one, two}, {two}, {moved}, nil} {
		if err := MakeDevices(root, devices); err != nil {
			t.Fatal(err)
		}
		links, err := filepath.Glob(filepath.Join(dir, "dev/disk/by-id/virtio-*"))
		nodes, _ := filepath.Glob(filepath.Join(dir, "dev/vd*"))
		if err != nil || len(links) != len(devices) || len(nodes) != len(devices) {
			t.Errorf("%v: links %v, nodes %v, %v", devices, links, nodes, err)
		}
		for _, d := range devices {
			var st unix.Stat_t // through the link
			if err := unix.Stat(filepath.Join(dir, "dev/disk/by-id/virtio-"+d.Serial), &st); err != nil || st.Rdev != unix.Mkdev(d.Major, d.Minor) {
				t.Errorf("%s: %x, %v", d.Serial, st.Rdev, err)
			}
		}
	}
	for _, name := range []string{"null", "loop0", "loop63"} {
		if _, err := os.Stat(filepath.Join(dir, "dev", name)); err != nil {
			t.Error(err)
		}
	}
}

func TestDevicesStayInTheRoot(t *testing.T) {
	needRoot(t)
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "dev")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := MakeDevices(root, []compute.Device{{Name: "vdb", Serial: "one", Major: 7}}); err == nil {
		t.Error("a link out of the root was followed")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// cgroupOf makes the cgroup of a VM and returns the folder of the hierarchy with the limits of devices.
func cgroupOf(t *testing.T, d *Driver, id string) string {
	t.Helper()
	parent := filepath.Join(cgroupDir, d.CgroupParent)
	if hasBlkio() {
		parent = filepath.Join(blkio, d.CgroupParent)
	}
	if err := os.MkdirAll(filepath.Join(parent, id), 0o755); err != nil {
		t.Fatal(err)
	}
	if !hasBlkio() { // version 2 wants the controller in all folders above
		for _, dir := range []string{cgroupDir, parent} {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+io"), 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Cleanup(func() {
		for _, dir := range []string{filepath.Join(parent, id), parent} {
			if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
		}
	})
	return filepath.Join(parent, id)
}

func TestIOPSOfAVolumeAreLimited(t *testing.T) {
	needRoot(t)
	d := newDriver(t)
	disks, err := loop.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disks.Teardown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := disks.Create(t.Context(), id, 32<<20, ""); err != nil {
		t.Fatal(err)
	}
	major, minor, err := disks.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	cgroup := cgroupOf(t, d, id)
	const limit, operations = 500, 1000
	device := compute.Device{Name: "vdb", Major: major, Minor: minor, ReadIOPS: limit, WriteIOPS: limit}
	for _, direction := range []string{"if=/dev/loop%d of=/dev/null iflag=direct", "of=/dev/loop%d if=/dev/zero oflag=direct"} {
		took := func(devices ...compute.Device) time.Duration {
			t.Helper()
			if err := d.limitDevices(id, devices); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			script := fmt.Sprintf("echo $$ >%s/cgroup.procs && exec dd bs=4k count=%d status=none "+direction, cgroup, operations, minor)
			if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return time.Since(begin)
		}
		limited, free := took(device), took()
		if want := time.Second * operations / limit * 9 / 10; limited < want {
			t.Errorf("%s: %d operations took %s with a limit of %d per second", direction, operations, limited, limit)
		}
		t.Logf("%s: %s limited to %d/s, %s without", direction, limited, limit, free)
	}
}

func TestTheVMHasNoBlkioOfItsOwn(t *testing.T) {
	if !hasBlkio() {
		if hooks() != nil {
			t.Error("with version 2 limits hold for what is below")
		}
		return
	}
	var programs []string
	for _, hook := range hooks().StartContainer {
		programs = append(programs, hook.Path)
	}
	if !slices.Equal(programs, []string{"/bin/umount", "/bin/mount"}) {
		t.Errorf("got %v", programs)
	}
}
