package loop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/volume"
)

const (
	major  = 7 // of loop devices
	sysDir = "/sys/block"
)

// blkFlush is BLKFLSBUF: write out what the device and the file system on it have in memory.
const blkFlush = 0x1261

func devicePath(n uint32) string { return fmt.Sprintf("/dev/loop%d", n) }

// bound returns the backing files of all loop devices, as the kernel names them.
func bound() (map[uint32]string, error) {
	entries, err := os.ReadDir(sysDir)
	if err != nil {
		return nil, err
	}
	devices := map[uint32]string{}
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), "loop")
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil {
			continue
		}
		text, err := os.ReadFile(filepath.Join(sysDir, entry.Name(), "loop", "backing_file"))
		if err != nil {
			continue // it has none
		}
		devices[uint32(n)] = strings.TrimSuffix(string(text), "\n")
	}
	return devices, nil
}

// status asks a loop device what it is made of; ok is false when it is made of nothing (any more).
func status(n uint32) (info *unix.LoopInfo64, ok bool, err error) {
	device, err := os.Open(devicePath(n))
	if err == nil {
		defer device.Close()
		info, err = unix.IoctlLoopGetStatus64(int(device.Fd()))
	}
	if errors.Is(err, unix.ENXIO) || errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("status of %s: %w", devicePath(n), err)
	}
	return info, true, nil
}

// find returns the loop device of a file. The path alone would not do: a VM has files with the same.
func find(path string) (n uint32, found bool, err error) {
	devices, err := bound()
	if err != nil {
		return 0, false, err
	}
	for n, backing := range devices {
		if backing != path {
			continue
		}
		info, ok, err := status(n)
		if err != nil {
			return 0, false, err
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			return 0, false, err
		}
		if ok && info.Device == st.Dev && info.Inode == st.Ino {
			return n, true, nil
		}
	}
	return 0, false, nil
}

// Open implements volume.Driver.
func (d *Driver) Open(_ context.Context, id string) (uint32, uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, found, err := find(d.volume(id))
	if err != nil || found {
		return major, n, err
	}
	file, err := os.OpenFile(d.volume(id), os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer file.Close()
	n, err = configure(file)
	return major, n, err
}

// configure binds a file to the first free loop device; others look for one too.
func configure(file *os.File) (uint32, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer control.Close()
	for {
		free, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return 0, fmt.Errorf("find a free loop device: %w", err)
		}
		n := uint32(free)
		err = bind(n, file)
		if errors.Is(err, unix.EBUSY) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("configure %s: %w", devicePath(n), err)
		}
		return n, nil
	}
}

// bind asks for direct I/O, so that nothing is cached twice; the kernel does without where the file system cannot.
func bind(n uint32, file *os.File) error {
	device, err := os.OpenFile(devicePath(n), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) { // /dev is not the kernel's own
		if err := unix.Mknod(devicePath(n), unix.S_IFBLK|0o600, int(unix.Mkdev(major, n))); err != nil && !errors.Is(err, unix.EEXIST) {
			return err
		}
		device, err = os.OpenFile(devicePath(n), os.O_RDWR, 0)
	}
	if err != nil {
		return err
	}
	defer device.Close()
	return unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{
		Fd: uint32(file.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_DIRECT_IO},
	})
}

// InUse implements volume.Driver. Whatever mounts a device claims it for itself, in whatever namespace.
func (d *Driver) InUse(_ context.Context, id string) (bool, error) {
	n, found, err := find(d.volume(id))
	if err != nil || !found {
		return false, err
	}
	upon, err := stacked(n)
	if err != nil || len(upon) > 0 {
		return len(upon) > 0, err
	}
	device, err := os.OpenFile(devicePath(n), os.O_RDONLY|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return false, device.Close()
}

// stacked returns the loop devices whose backing file is a node of the given one.
func stacked(below uint32) ([]uint32, error) {
	devices, err := bound()
	if err != nil {
		return nil, err
	}
	var upon []uint32
	for n := range devices {
		info, ok, err := status(n)
		if err != nil {
			return nil, err
		}
		if ok && n != below && info.Rdevice == unix.Mkdev(major, below) && backedByDevice(info) {
			upon = append(upon, n)
		}
	}
	return upon, nil
}

// backedByDevice tells a node of a device from a file that lies on it: the latter's number is that of its file system.
func backedByDevice(info *unix.LoopInfo64) bool { return info.Rdevice != info.Device }

// Unstack implements volume.Driver.
func (d *Driver) Unstack(_ context.Context, id string) error {
	n, found, err := find(d.volume(id))
	if err != nil || !found {
		return err
	}
	upon, err := stacked(n)
	if err != nil {
		return err
	}
	for _, n := range upon {
		if err := release(n); err != nil {
			return err
		}
	}
	return nil
}

// Close implements volume.Driver.
func (d *Driver) Close(_ context.Context, id string) error {
	n, found, err := find(d.volume(id))
	if err != nil || !found {
		return err
	}
	return release(n)
}

// release frees a loop device that nobody uses. While somebody still has it open
// the kernel would only mark it to be freed later; then the mark is taken back.
func release(n uint32) error {
	device, err := os.OpenFile(devicePath(n), os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("%s: %w", devicePath(n), volume.ErrInUse)
	}
	if errors.Is(err, unix.ENXIO) {
		return nil
	}
	if err != nil {
		return err
	}
	err = unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0)
	if err := errors.Join(err, device.Close()); err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("free %s: %w", devicePath(n), err)
	}
	for range 20 { // somebody may just be looking at it, such as udev
		_, ok, err := status(n)
		if err != nil || !ok {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return keepBound(n)
}

func keepBound(n uint32) error {
	device, err := os.Open(devicePath(n))
	if err != nil {
		return err
	}
	defer device.Close()
	info, err := unix.IoctlLoopGetStatus64(int(device.Fd()))
	if errors.Is(err, unix.ENXIO) {
		return nil // just in time
	}
	if err != nil {
		return err
	}
	info.Flags &^= unix.LO_FLAGS_AUTOCLEAR
	if err := unix.IoctlLoopSetStatus64(int(device.Fd()), info); err != nil {
		return fmt.Errorf("keep %s: %w", devicePath(n), err)
	}
	return fmt.Errorf("%s is open: %w", devicePath(n), volume.ErrInUse)
}

// List implements volume.Driver.
func (d *Driver) List(context.Context) ([]string, error) {
	devices, err := bound()
	if err != nil {
		return nil, err
	}
	prefix := filepath.Join(d.dir, "volumes") + "/"
	var ids []string
	for _, backing := range devices {
		rest, below := strings.CutPrefix(backing, prefix)
		id, name, _ := strings.Cut(rest, "/")
		if !below || name != dataFile {
			continue
		}
		if _, found, err := find(backing); err != nil {
			if errors.Is(err, fs.ErrNotExist) { // a VM's file of the same name
				continue
			}
			return nil, err
		} else if found {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// Teardown frees all loop devices of volumes. The VMs must be gone; the kernel may still be unmounting for them.
func (d *Driver) Teardown(ctx context.Context) error {
	ids, err := d.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		errs = append(errs, d.teardown(ctx, id))
	}
	return errors.Join(errs...)
}

func (d *Driver) teardown(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		err := errors.Join(d.Unstack(ctx, id), d.Close(ctx, id))
		if err == nil || !errors.Is(err, volume.ErrInUse) || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}
