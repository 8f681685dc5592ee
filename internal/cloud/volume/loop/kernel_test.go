package loop

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/volume"
)

const (
	id   = "0e000000-0000-4000-8000-000000000001"
	twin = "0e000000-0000-4000-8000-000000000002"
	snap = "0f000000-0000-4000-8000-000000000001"
	mib  = 1 << 20
)

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "WARNING: not root: block devices were NOT tested against the kernel; run the tests as root")
	}
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newVolume returns a driver with one volume of 64 MiB and the path of its device.
func newVolume(t *testing.T) (*Driver, string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root")
	}
	d, err := New(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, d.Teardown(context.Background())) })
	must(t, d.Create(t.Context(), id, 64*mib, ""))
	_, n, err := d.Open(t.Context(), id)
	must(t, err)
	return d, devicePath(n)
}

func openFile(t *testing.T, path string, flags int) *os.File {
	t.Helper()
	file, err := os.OpenFile(path, flags, 0)
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func writeAt(t *testing.T, path string, offset int64, data []byte) {
	t.Helper()
	file := openFile(t, path, os.O_WRONLY)
	_, err := file.WriteAt(data, offset)
	must(t, errors.Join(err, file.Sync(), file.Close()))
}

func isOpen(t *testing.T, d *Driver) bool {
	t.Helper()
	ids, err := d.List(t.Context())
	must(t, err)
	return len(ids) == 1 && ids[0] == id
}

func used(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Blocks * 512
}

func TestAVolumeHasOneDevice(t *testing.T) {
	d, device := newVolume(t)
	again, err := New(d.dir) // another daemon
	must(t, err)
	_, n, err := again.Open(t.Context(), id)
	if err != nil || devicePath(n) != device {
		t.Fatalf("got loop%d, %v; want %s", n, err, device)
	}
	writeAt(t, device, 8*mib, bytes.Repeat([]byte("x"), 4*mib))
	if got := used(t, d.volume(id)); got < 4*mib || got > 5*mib {
		t.Errorf("4 MiB take %d bytes", got)
	}
	file := openFile(t, device, os.O_RDWR)
	area := [2]uint64{8 * mib, 4 * mib}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&area))); errno != 0 {
		t.Fatal(errno)
	}
	must(t, file.Close())
	if got := used(t, d.volume(id)); got > mib {
		t.Errorf("after discard %d bytes are still taken", got)
	}
	for range 2 {
		must(t, d.Resize(t.Context(), id, 96*mib))
	}
	must(t, d.Resize(t.Context(), id, 10*mib)) // never shrinks
	if size, err := openFile(t, device, os.O_RDONLY).Seek(0, 2); err != nil || size != 96*mib {
		t.Errorf("the device has %d bytes, %v", size, err)
	}
}

func TestADeviceInUseStays(t *testing.T) {
	d, device := newVolume(t)
	for name, flags := range map[string]int{"mounted": os.O_RDONLY | unix.O_EXCL, "open": os.O_RDONLY} {
		file := openFile(t, device, flags)
		if inUse, err := d.InUse(t.Context(), id); err != nil || inUse != (name == "mounted") {
			t.Errorf("%s: in use %v, %v", name, inUse, err)
		}
		if err := d.Close(t.Context(), id); !errors.Is(err, volume.ErrInUse) {
			t.Errorf("%s: %v", name, err)
		}
		must(t, file.Close())
		if !isOpen(t, d) {
			t.Fatalf("%s: a refused Close must change nothing", name)
		}
	}
	for range 2 {
		must(t, d.Close(t.Context(), id))
	}
	if isOpen(t, d) {
		t.Error("it must be gone")
	}
}

func TestWhatLiesUponADevice(t *testing.T) {
	d, device := newVolume(t)
	var st unix.Stat_t
	must(t, unix.Stat(device, &st))
	node := filepath.Join(t.TempDir(), "vdb") // as in the VM
	must(t, unix.Mknod(node, unix.S_IFBLK|0o600, int(st.Rdev)))
	upon, err := configure(openFile(t, node, os.O_RDWR))
	must(t, err)
	if inUse, err := d.InUse(t.Context(), id); err != nil || !inUse {
		t.Errorf("in use %v, %v", inUse, err)
	}
	for range 2 {
		must(t, d.Unstack(t.Context(), id))
	}
	if _, ok, err := status(upon); ok || err != nil {
		t.Errorf("%s is still there: %v", devicePath(upon), err)
	}
	if !isOpen(t, d) {
		t.Error("the volume's own device must stay")
	}
}

func TestSnapshotAndRestore(t *testing.T) {
	d, device := newVolume(t)
	noPause := func() (func() error, error) { return nil, errors.New("nobody writes: there is nothing to pause") }
	writeAt(t, device, 5*mib, []byte("before"))
	for range 2 {
		must(t, d.Snapshot(t.Context(), snap, id, noPause))
	}
	writeAt(t, device, 5*mib, []byte("after!"))
	must(t, d.CopySnapshot(t.Context(), twin, snap))
	must(t, d.DeleteSnapshot(t.Context(), snap))
	must(t, d.Create(t.Context(), twin, 128*mib, twin))
	got := make([]byte, 6)
	file := openFile(t, d.volume(twin), os.O_RDONLY)
	if _, err := file.ReadAt(got, 5*mib); err != nil || string(got) != "before" {
		t.Errorf("got %q, %v", got, err)
	}
	if size, err := file.Seek(0, 2); err != nil || size != 128*mib || used(t, d.volume(twin)) > mib {
		t.Errorf("the copy has %d bytes and takes %d, %v", size, used(t, d.volume(twin)), err)
	}
	must(t, d.Delete(t.Context(), twin))
	if _, err := os.Stat(filepath.Dir(d.volume(twin))); !os.IsNotExist(err) {
		t.Errorf("the folder must be gone: %v", err)
	}
}

// A writer counts in two places far from each other. In a copy of one moment they differ by 1 at most.
func TestASnapshotIsOfOneMoment(t *testing.T) {
	d, device := newVolume(t)
	writeAt(t, device, 0, make([]byte, 32*mib)) // something to copy
	file := openFile(t, device, os.O_WRONLY|unix.O_SYNC)
	var writing sync.Mutex
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		for n := uint64(1); ; n++ {
			for _, offset := range []int64{0, 32*mib - 8} {
				writing.Lock()
				_, err := file.WriteAt(binary.BigEndian.AppendUint64(nil, n), offset)
				writing.Unlock()
				if err != nil {
					ended <- err
					return
				}
			}
			select {
			case <-done:
				ended <- nil
				return
			default:
			}
		}
	}()
	paused := 0
	must(t, d.Snapshot(t.Context(), snap, id, func() (func() error, error) {
		paused++
		writing.Lock()
		return func() error { writing.Unlock(); return nil }, nil
	}))
	close(done)
	must(t, <-ended)
	data, err := os.ReadFile(d.snapshot(snap))
	must(t, err)
	first, last := binary.BigEndian.Uint64(data), binary.BigEndian.Uint64(data[32*mib-8:])
	if first-last > 1 {
		t.Errorf("torn: %d and %d, paused %d times", first, last, paused)
	}
}

func TestAFullDisk(t *testing.T) {
	d, _ := newVolume(t)
	small := filepath.Join(d.dir, "small")
	must(t, os.Mkdir(small, 0o700))
	must(t, unix.Mount("mke", small, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() { must(t, unix.Unmount(small, unix.MNT_DETACH)) })
	full, err := New(small)
	must(t, err)
	if _, isFull, err := full.Space(t.Context()); err != nil || !isFull {
		t.Errorf("full %v, %v", isFull, err)
	}
	must(t, full.Create(t.Context(), id, 64*mib, "")) // sparse
	if err := full.Snapshot(t.Context(), snap, id, nil); !errors.Is(err, volume.ErrNoSpace) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(full.snapshot(snap) + ".new"); !os.IsNotExist(err) {
		t.Errorf("nothing may be left: %v", err)
	}
}
