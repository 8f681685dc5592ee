package dataplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// netnsDir is where iproute2 keeps namespaces by name.
const netnsDir = "/run/netns"

// Inside runs fn in the network namespace at path, on a thread of its own that
// ends with it. Sockets and processes made by fn belong to that namespace; fn
// must not start goroutines that rely on it.
func Inside(path string, fn func() error) error {
	return onThread(func() error {
		ns, err := netns.GetFromPath(path)
		if err != nil {
			return fmt.Errorf("open network namespace %s: %w", path, err)
		}
		defer ns.Close()
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("enter network namespace %s: %w", path, err)
		}
		return fn()
	})
}

// onThread runs fn on a locked thread. The lock is never released, so the
// runtime ends the thread with the goroutine, whatever fn did to it.
func onThread(fn func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		result <- fn()
	}()
	return <-result
}

// openNetns opens a netlink handle into the namespace at path, for links and
// routes unless other families are given, and the namespace itself.
func openNetns(path string, families ...int) (*netlink.Handle, netns.NsHandle, error) {
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return nil, ns, fmt.Errorf("open network namespace %s: %w", path, err)
	}
	if len(families) == 0 {
		families = []int{unix.NETLINK_ROUTE}
	}
	handle, err := netlink.NewHandleAt(ns, families...)
	if err != nil {
		ns.Close()
		return nil, ns, fmt.Errorf("open netlink in %s: %w", path, err)
	}
	return handle, ns, nil
}

func isNetns(path string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(path, &stat) == nil && stat.Type == unix.NSFS_MAGIC
}

// EnsureNetns makes the named namespace; made tells whether it was new. A file
// without a namespace, left by a crash between the two steps, is replaced.
func EnsureNetns(name string) (made bool, err error) {
	path := filepath.Join(netnsDir, name)
	if isNetns(path) {
		return false, nil
	}
	if err := shareNetnsDir(); err != nil {
		return false, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o444)
	if err != nil {
		return false, fmt.Errorf("make network namespace: %w", err)
	}
	file.Close()
	err = onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		return unix.Mount(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), path, "none", unix.MS_BIND, "")
	})
	if err != nil {
		return false, fmt.Errorf("make network namespace %s: %w", name, err)
	}
	return true, nil
}

// shareNetnsDir makes the folder a shared mount as iproute2 does; otherwise its
// first `ip netns add` would copy our mounts and keep our namespaces alive.
func shareNetnsDir() error {
	if err := os.MkdirAll(netnsDir, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", netnsDir, err)
	}
	err := unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, "")
	if err == nil {
		return nil
	}
	if !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("share %s: %w", netnsDir, err)
	}
	if err := unix.Mount(netnsDir, netnsDir, "none", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("bind %s: %w", netnsDir, err)
	}
	if err := unix.Mount("", netnsDir, "none", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("share %s: %w", netnsDir, err)
	}
	return nil
}

// releaseNetnsDir undoes shareNetnsDir when nobody has a namespace any more.
func releaseNetnsDir() {
	if entries, err := os.ReadDir(netnsDir); err == nil && len(entries) == 0 {
		_ = unix.Unmount(netnsDir, 0) // EINVAL: it was not mounted
	}
}

// DeleteNetns removes the named namespace; one that is not there is fine.
func DeleteNetns(name string) error {
	path := filepath.Join(netnsDir, name)
	for isNetns(path) {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("delete network namespace %s: %w", name, err)
		}
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete network namespace %s: %w", name, err)
	}
	return nil
}

func namedNetns(prefix string) ([]string, error) {
	entries, err := os.ReadDir(netnsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list network namespaces: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), prefix) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}
