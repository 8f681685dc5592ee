package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"magalu.cloud/mke/internal/csi/driver"
)

const (
	// deviceLimit is how long a device may take to show up after the cloud said that it is there.
	deviceLimit = 10 * time.Second
	devicePause = 20 * time.Millisecond
)

// Devices are those of a VM.
type Devices struct {
	// Dir is the VM's /dev.
	Dir string
}

// find waits until a volume's device is there, and makes sure that it is the right one.
func (d Devices) find(ctx context.Context, volumeID string) (string, error) {
	link := filepath.Join(d.Dir, "disk", "by-id", driver.LinkName(volumeID))
	ctx, cancel := context.WithTimeout(ctx, deviceLimit)
	defer cancel()
	for {
		path, err := resolve(link, volumeID)
		if !errors.Is(err, os.ErrNotExist) {
			return path, err
		}
		select {
		case <-ctx.Done():
			return "", status.Errorf(codes.Unavailable, "the device %s has not shown up", link)
		case <-time.After(devicePause):
		}
	}
}

// resolve follows the link and makes sure that it leads to the volume's device.
func resolve(link, volumeID string) (string, error) {
	path, err := filepath.EvalSymlinks(link)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.Mode().Type() != os.ModeDevice {
		return "", fmt.Errorf("%s is not a block device", path)
	}
	// Not all hypervisors show a serial number.
	serial, err := os.ReadFile(filepath.Join("/sys/class/block", filepath.Base(path), "serial"))
	if got := strings.TrimSpace(string(serial)); err == nil && got != "" && !strings.HasPrefix(volumeID, got) {
		return "", fmt.Errorf("%s has the serial number %s: it is another volume's device", path, got)
	}
	return path, nil
}

// deviceSize in bytes.
func deviceSize(device string) (int64, error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}

// mountedAt is true if the file system at path is the device's.
func mountedAt(path, device string) (bool, error) {
	var mounted, own unix.Stat_t
	if err := unix.Stat(path, &mounted); err != nil {
		return false, err
	}
	if err := unix.Stat(device, &own); err != nil {
		return false, err
	}
	return mounted.Dev == own.Rdev, nil
}
