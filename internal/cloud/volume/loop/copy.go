package loop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/volume"
)

const (
	// quietTries is how often a volume is copied in the hope that nothing writes to it meanwhile.
	quietTries = 2
	// maxPause is how long whoever writes is paused for a copy.
	maxPause = 5 * time.Second
	chunk    = 16 << 20
)

// Snapshot implements volume.Driver. Where the file system can clone a file, that
// is of one moment. Elsewhere the file is copied, and the device's counters tell
// whether it was written to meanwhile; if so, again while the writers are paused.
func (d *Driver) Snapshot(ctx context.Context, id, volumeID string, pause func() (func() error, error)) error {
	n, attached, err := find(d.volume(volumeID))
	if err != nil {
		return err
	}
	return build(d.snapshot(id), func(file *os.File) error {
		if !attached {
			return copyFile(ctx, file, d.volume(volumeID))
		}
		for range quietTries {
			if done, err := copyQuiet(ctx, file, d.volume(volumeID), n); done || err != nil {
				return err
			}
		}
		resume, err := pause()
		if err != nil {
			return err
		}
		limited, cancel := context.WithTimeout(ctx, maxPause)
		defer cancel()
		done, err := copyQuiet(limited, file, d.volume(volumeID), n)
		if err := resume(); err != nil {
			return err
		}
		if ctx.Err() == nil && (errors.Is(err, context.DeadlineExceeded) || (err == nil && !done)) {
			return volume.ErrBusy
		}
		return err
	})
}

// copyQuiet copies what is on a loop device's file and tells whether the copy is of one moment.
func copyQuiet(ctx context.Context, dst *os.File, path string, n uint32) (bool, error) {
	if err := flush(n); err != nil {
		return false, err
	}
	cloned, err := clone(dst, path)
	if cloned || err != nil {
		return cloned, err
	}
	before, idle, err := written(n)
	if err != nil {
		return false, err
	}
	if err := dst.Truncate(0); err != nil { // of the try before
		return false, err
	}
	if err := copySparse(ctx, dst, path); err != nil {
		return false, err
	}
	after, _, err := written(n)
	return idle && before == after, err
}

func flush(n uint32) error {
	device, err := os.Open(devicePath(n))
	if err != nil {
		return err
	}
	defer device.Close()
	if err := unix.IoctlSetInt(int(device.Fd()), blkFlush, 0); err != nil {
		return fmt.Errorf("flush %s: %w", devicePath(n), err)
	}
	return nil
}

// written returns how many writes and discards a device has done, and whether none is under way.
func written(n uint32) (string, bool, error) {
	text, err := os.ReadFile(filepath.Join(sysDir, "loop"+strconv.Itoa(int(n)), "stat"))
	if err != nil {
		return "", false, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 12 {
		return "", false, fmt.Errorf("statistics of %s are too short", devicePath(n))
	}
	return fields[4] + " " + fields[11], fields[8] == "0", nil
}

// copyFile copies a file to an empty one that nobody writes to.
func copyFile(ctx context.Context, dst *os.File, path string) error {
	cloned, err := clone(dst, path)
	if cloned || err != nil {
		return err
	}
	return copySparse(ctx, dst, path)
}

// clone lets both files share their blocks, where the file system can.
func clone(dst *os.File, path string) (bool, error) {
	src, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer src.Close()
	return unix.IoctlFileClone(int(dst.Fd()), int(src.Fd())) == nil, nil
}

// copySparse copies what was written to a file and leaves its holes out.
func copySparse(ctx context.Context, dst *os.File, path string) error {
	src, err := os.Open(path)
	if err != nil {
		return err
	}
	defer src.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return err
	}
	if _, free, err := space(path); err != nil || free-st.Blocks*512 < Reserve {
		return errors.Join(err, volume.ErrNoSpace)
	}
	for offset := int64(0); ; {
		start, err := unix.Seek(int(src.Fd()), offset, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // only a hole is left
			return dst.Truncate(st.Size)
		}
		if err != nil {
			return err
		}
		end, err := unix.Seek(int(src.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if err := copyRange(ctx, dst, src, start, end); err != nil {
			return err
		}
		offset = end
	}
}

// copyRange copies through the kernel and drops from its cache what was copied: nobody reads it soon.
func copyRange(ctx context.Context, dst, src *os.File, start, end int64) error {
	for from := start; from < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		in, out := from, from
		n, err := unix.CopyFileRange(int(src.Fd()), &in, int(dst.Fd()), &out, int(min(chunk, end-from)), 0)
		if err != nil {
			return fmt.Errorf("copy: %w", err)
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		_ = unix.Fadvise(int(src.Fd()), from, int64(n), unix.FADV_DONTNEED) // only advice
		from += int64(n)
	}
	return nil
}
