package platform

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// minimumFree is what a build and one small cluster need on the data folder's disk.
const minimumFree = 12 << 30

// EdgeNetwork holds the region's public addresses; the host itself is its first address.
var EdgeNetwork = netip.MustParsePrefix("198.18.0.0/16")

// edgeBridge is the host's only link of ours.
const edgeBridge = "mke-edge"

// Preflight says in one sentence why a region cannot run on this machine, or returns nil.
func Preflight(dataDir string) error {
	checks := []func() error{
		checkSystem,
		checkRoot,
		checkKernel,
		func() error { return checkDisk(dataDir) },
		checkEdge,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func checkSystem() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return fmt.Errorf("a region runs on Linux on amd64 only, this is %s on %s: use a Debian 12 or Ubuntu 22.04 virtual machine", runtime.GOOS, runtime.GOARCH)
	}
	return nil
}

func checkRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a region needs root, because it makes network namespaces and system containers: run the same command with sudo")
	}
	return nil
}

// checkKernel looks for what a container VM cannot do without.
func checkKernel() error {
	for _, fs := range []string{"overlay", "tmpfs"} {
		if ok, err := filesystemKnown(fs); err != nil {
			return err
		} else if !ok {
			return fmt.Errorf("this kernel has no %s file system: load the module (modprobe %s) or use a kernel that has it", fs, fs)
		}
	}
	for _, ns := range []string{"net", "pid", "mnt", "cgroup", "ipc", "uts"} {
		if _, err := os.Stat(filepath.Join("/proc/self/ns", ns)); err != nil {
			return fmt.Errorf("this kernel has no %s namespaces: a region needs them for its VMs", ns)
		}
	}
	if _, err := os.Stat("/sys/fs/cgroup"); err != nil {
		return errors.New("no cgroups are mounted at /sys/fs/cgroup: a region needs them for its VMs")
	}
	return nil
}

func filesystemKnown(name string) (bool, error) {
	data, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return false, fmt.Errorf("cannot read the kernel's file systems: %w", err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasSuffix(strings.TrimSpace(line), "\t"+name) || strings.TrimSpace(line) == name {
			return true, nil
		}
	}
	// A module that is not loaded yet is loaded by the first mount.
	matches, err := filepath.Glob("/lib/modules/" + kernelRelease() + "/kernel/fs/*/" + name + "*.ko*")
	return len(matches) > 0, err
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

func checkDisk(dataDir string) error {
	dir := dataDir
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if err == nil {
			if free := st.Bavail * uint64(st.Bsize); free < minimumFree {
				return fmt.Errorf("only %d MiB are free on the disk of %s, a region needs %d GiB: free some space or choose another folder with --data-dir",
					free>>20, dataDir, minimumFree>>30)
			}
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) || dir == "/" {
			return fmt.Errorf("cannot look at the disk of %s: %w", dataDir, err)
		}
		dir = filepath.Dir(dir)
	}
}

// checkEdge makes sure that nobody else uses the region's public addresses or the daemon's port.
func checkEdge() error {
	links, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("cannot list network interfaces: %w", err)
	}
	for _, link := range links {
		if link.Name == edgeBridge {
			continue
		}
		addrs, err := link.Addrs()
		if err != nil {
			continue // the link went away meanwhile
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err == nil && p.Masked().Overlaps(EdgeNetwork) {
				return fmt.Errorf("the network %s of interface %s overlaps %s, which the region needs for its public addresses: remove it first", p.Masked(), link.Name, EdgeNetwork)
			}
		}
	}
	return nil
}
