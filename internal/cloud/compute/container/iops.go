package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"magalu.cloud/mke/internal/cloud/compute"
)

// blkio is version 1's hierarchy of limits on block devices; it does not exist with version 2.
var blkio = filepath.Join(cgroupDir, "blkio")

func hasBlkio() bool {
	_, err := os.Stat(filepath.Join(blkio, "cgroup.procs"))
	return err == nil
}

// limitDevices sets how many reads and writes per second all processes of the VM
// together may do on each device, and removes the limits of other devices.
func (d *Driver) limitDevices(id string, devices []compute.Device) error {
	if hasBlkio() {
		dir := filepath.Join(blkio, d.CgroupParent, id)
		return errors.Join(
			setLimits(filepath.Join(dir, "blkio.throttle.read_iops_device"), devices, "0", func(v compute.Device) string { return fmt.Sprint(v.ReadIOPS) }),
			setLimits(filepath.Join(dir, "blkio.throttle.write_iops_device"), devices, "0", func(v compute.Device) string { return fmt.Sprint(v.WriteIOPS) }))
	}
	return setLimits(filepath.Join(cgroupDir, d.CgroupParent, id, "io.max"), devices, "riops=max wiops=max",
		func(v compute.Device) string { return fmt.Sprintf("riops=%d wiops=%d", v.ReadIOPS, v.WriteIOPS) })
}

// setLimits writes a file with a line per device. A kernel without such limits does not have the file.
func setLimits(path string, devices []compute.Device, none string, limit func(compute.Device) string) error {
	present, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	lines := map[string]string{}
	for _, line := range strings.Split(string(present), "\n") {
		if device, _, ok := strings.Cut(line, " "); ok {
			lines[device] = none
		}
	}
	for _, v := range devices {
		lines[fmt.Sprintf("%d:%d", v.Major, v.Minor)] = limit(v)
	}
	for device, value := range lines {
		if err := os.WriteFile(path, []byte(device+" "+value), 0); err != nil {
			return fmt.Errorf("limit of device %s: %w", device, err)
		}
	}
	return nil
}
