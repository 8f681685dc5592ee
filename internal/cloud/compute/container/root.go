package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/compute"
)

// dataFolders are the folders of a VM that lie on the data disk itself: an
// overlay cannot carry another overlay, and etcd wants a real disk.
var dataFolders = []string{"containerd", "kubelet", "etcd", "mke-data"}

// prepareData makes the VM's data folders and fills containerd's from the image.
func (d *Driver) prepareData(vm compute.VM, b base) error {
	if err := os.MkdirAll(d.dir(vm.ID, "data"), 0o711); err != nil {
		return err
	}
	if b.Store != "" {
		if err := d.CloneStore(b.Store, d.dir(vm.ID, "data", "containerd")); err != nil {
			return err
		}
	}
	for _, name := range dataFolders {
		if err := os.MkdirAll(d.dir(vm.ID, "data", name), 0o711); err != nil {
			return err
		}
	}
	return nil
}

// shutdownHook tells the driver how the VM goes down. Its exit status would too,
// but only to a parent process, and there must not be one.
const shutdownHook = "#!/bin/sh\necho \"$1\" >/run/host/" + exitFile + "\n"

// prepareRoot mounts the VM's root file system: the image below, the VM's own
// changes above. What is written into it here is written before the VM ever ran.
func (d *Driver) prepareRoot(vm compute.VM, b base) error {
	upper := d.dir(vm.ID, "upper")
	ready := d.dir(vm.ID, "root-ready")
	if _, err := os.Stat(ready); errors.Is(err, fs.ErrNotExist) {
		if err := writeTree(upper, map[string]file{
			"etc/resolv.conf": {content: resolvConf(vm.Nameservers)},
			"etc/hostname":    {content: vm.Hostname + "\n"},
			"etc/hosts":       {content: "127.0.0.1 localhost\n127.0.1.1 " + vm.Hostname + "\n::1 localhost ip6-localhost ip6-loopback\n"},
			"usr/lib/systemd/system-shutdown/mke-exit": {content: shutdownHook, mode: 0o755},
		}); err != nil {
			return err
		}
		if err := writeFile(ready, nil); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	for _, name := range []string{"work", "rootfs", "host"} {
		if err := os.MkdirAll(d.dir(vm.ID, name), 0o755); err != nil {
			return err
		}
	}
	return mountOverlay(b.RootFS, upper, d.dir(vm.ID, "work"), d.dir(vm.ID, "rootfs"))
}

func resolvConf(nameservers []string) string {
	var text strings.Builder
	for _, server := range nameservers {
		fmt.Fprintf(&text, "nameserver %s\n", server)
	}
	return text.String()
}

type file struct {
	content string
	mode    fs.FileMode // default 0644
}

// writeTree writes files below dir; folders are made with the modes that a root file system has.
func writeTree(dir string, files map[string]file) error {
	for name, f := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		mode := f.mode
		if mode == 0 {
			mode = 0o644
		}
		if err := os.WriteFile(path, []byte(f.content), mode); err != nil {
			return err
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask is
			return err
		}
	}
	return nil
}

// writeFile writes a file that is either there as a whole or not at all.
func writeFile(path string, content []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func mountOverlay(lower, upper, work, target string) error {
	mounted, err := isMountpoint(target)
	if err != nil || mounted {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work)
	if err := unix.Mount("mke", target, "overlay", 0, options); err != nil {
		return fmt.Errorf("mount root file system: %w", err)
	}
	// Nothing that the VM mounts may appear on the host.
	return unix.Mount("", target, "", unix.MS_PRIVATE, "")
}

func isMountpoint(path string) (bool, error) {
	var here, parent unix.Stat_t
	if err := unix.Lstat(path, &here); err != nil {
		return false, err
	}
	if err := unix.Lstat(filepath.Dir(path), &parent); err != nil {
		return false, err
	}
	return here.Dev != parent.Dev, nil
}

// unmountBelow unmounts everything at or below dir, the deepest first.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // later mounts lie upon earlier ones
		fields := strings.Fields(lines[i])
		if len(fields) < 5 {
			continue
		}
		path := unescape.Replace(fields[4])
		if path != dir && !strings.HasPrefix(path, dir+"/") {
			continue
		}
		if err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("unmount %s: %w", path, err)
		}
	}
	return nil
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// removeAll removes a VM's folder. A detached mount may keep files busy for an instant.
func removeAll(dir string) error {
	var err error
	for range 5 {
		if err = os.RemoveAll(dir); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}
