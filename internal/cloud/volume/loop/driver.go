// Package loop keeps volumes as sparse files and makes loop devices of them.
//
// What is written to a volume takes space, what is discarded gives it back. A
// loop device belongs to a volume when its backing file is the volume's: that is
// how it is found again after the daemon or its record is gone.
package loop

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/volume"
)

// Reserve is how much of the disk is kept free of volumes, in bytes.
const Reserve = 2 << 30

// Driver implements volume.Driver.
type Driver struct {
	dir string

	mu sync.Mutex // who makes a loop device
}

var _ volume.Driver = (*Driver)(nil)

// New returns the driver with its data below dir, the folder of the cloud's data; it makes nothing on the machine.
func New(dir string) (*Driver, error) {
	real, err := filepath.EvalSymlinks(dir) // the kernel tells the real path
	if errors.Is(err, fs.ErrNotExist) {
		real, err = dir, nil
	}
	return &Driver{dir: real}, err
}

const dataFile = "data"

func (d *Driver) volume(id string) string   { return filepath.Join(d.dir, "volumes", id, dataFile) }
func (d *Driver) snapshot(id string) string { return filepath.Join(d.dir, "snapshots", id, dataFile) }

// Create implements volume.Driver.
func (d *Driver) Create(ctx context.Context, id string, size int64, snapshotID string) error {
	return build(d.volume(id), func(file *os.File) error {
		if snapshotID != "" {
			if err := copyFile(ctx, file, d.snapshot(snapshotID)); err != nil {
				return err
			}
		}
		return file.Truncate(size)
	})
}

// build makes a file that is either there as a whole or not at all.
func build(path string, fill func(*os.File) error) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err // nil: it was made before
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return noSpace(err)
	}
	temporary := path + ".new"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return noSpace(err)
	}
	err = fill(file)
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return noSpace(errors.Join(err, os.Remove(temporary)))
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func noSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", volume.ErrNoSpace, err)
	}
	return err
}

// Resize implements volume.Driver.
func (d *Driver) Resize(_ context.Context, id string, size int64) error {
	path := d.volume(id)
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < size { // it never shrinks
		if err := os.Truncate(path, size); err != nil {
			return err
		}
	}
	n, found, err := find(path)
	if err != nil || !found {
		return err
	}
	device, err := os.Open(devicePath(n))
	if err != nil {
		return err
	}
	defer device.Close()
	return unix.IoctlSetInt(int(device.Fd()), unix.LOOP_SET_CAPACITY, 0)
}

// Delete implements volume.Driver.
func (d *Driver) Delete(ctx context.Context, id string) error {
	if err := d.Close(ctx, id); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(d.volume(id)))
}

// CopySnapshot implements volume.Driver.
func (d *Driver) CopySnapshot(ctx context.Context, id, sourceID string) error {
	return build(d.snapshot(id), func(file *os.File) error { return copyFile(ctx, file, d.snapshot(sourceID)) })
}

// DeleteSnapshot implements volume.Driver.
func (d *Driver) DeleteSnapshot(_ context.Context, id string) error {
	return os.RemoveAll(filepath.Dir(d.snapshot(id)))
}

// Space implements volume.Driver.
func (d *Driver) Space(context.Context) (size int64, full bool, err error) {
	size, free, err := space(d.dir)
	return size, free < Reserve, err
}

func space(path string) (size, free int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, 0, fmt.Errorf("size of the disk of %s: %w", path, err)
	}
	return int64(st.Blocks) * st.Bsize, int64(st.Bavail) * st.Bsize, nil
}
