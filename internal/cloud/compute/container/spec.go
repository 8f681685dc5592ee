package container

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"magalu.cloud/mke/internal/cloud/compute"
)

const cpuPeriod = 100_000 // microseconds

// writeSpec writes the container's config.json.
func (d *Driver) writeSpec(vm compute.VM, b base) error {
	data, err := json.MarshalIndent(d.spec(vm, b), "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(d.dir(vm.ID, "bundle"), 0o700); err != nil {
		return err
	}
	return writeFile(d.dir(vm.ID, "bundle", "config.json"), data)
}

func (d *Driver) spec(vm compute.VM, b base) *specs.Spec {
	memory, quota := int64(vm.RAMMB)<<20, int64(vm.VCPUs)*cpuPeriod
	// More vCPUs than the host has are of no use to a VM, but with their weight it would starve the others.
	period, shares := uint64(cpuPeriod), uint64(min(vm.VCPUs, runtime.NumCPU()))*1024
	return &specs.Spec{
		Version:  specs.Version,
		Hostname: vm.Hostname,
		Root:     &specs.Root{Path: d.dir(vm.ID, "rootfs")},
		Process: &specs.Process{
			Args: []string{"/sbin/init"},
			Cwd:  "/",
			Env: []string{
				"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
				"container=mke",               // systemd sees that it is in a container
				"container_uuid=" + vm.ID,     // and takes its machine id from here
				"product_name=OpenStack Nova", // cloud-init sees which cloud it is in
			},
			// The cloud's own preference on a busy host is not the VM's.
			Scheduler:    &specs.Scheduler{Policy: specs.SchedOther},
			Capabilities: &specs.LinuxCapabilities{Bounding: d.caps, Effective: d.caps, Permitted: d.caps},
		},
		Mounts: d.mounts(vm, b),
		Hooks:  hooks(),
		Linux: &specs.Linux{
			CgroupsPath: filepath.Join("/", d.CgroupParent, vm.ID),
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.MountNamespace}, {Type: specs.CgroupNamespace},
				{Type: specs.NetworkNamespace, Path: filepath.Join(netnsDir, d.netnsName(vm.ID))},
			},
			Devices: []specs.LinuxDevice{
				{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229},
				{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200},
				{Path: "/dev/loop-control", Type: "c", Major: 10, Minor: 237},
			},
			Resources: &specs.LinuxResources{
				Devices: []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}},
				Memory:  &specs.LinuxMemory{Limit: &memory},
				CPU:     &specs.LinuxCPU{Quota: &quota, Period: &period, Shares: &shares},
			},
			RootfsPropagation: "shared",
		},
	}
}

func (d *Driver) mounts(vm compute.VM, b base) []specs.Mount {
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=4m"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "rw"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "rw"}},
		{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755"}},
		{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=1777"}},
	}
	// Private: what the VM mounts there must not appear on the host.
	bind := func(source, target string, options ...string) {
		mounts = append(mounts, specs.Mount{Destination: target, Type: "bind", Source: source, Options: append([]string{"bind", "rprivate"}, options...)})
	}
	bind(d.dir(vm.ID, "host"), "/run/host")
	for _, name := range dataFolders {
		bind(d.dir(vm.ID, "data", name), "/var/lib/"+name)
	}
	if b.Store != "" {
		bind(b.Store, "/usr/lib/mke/store", "ro")
	}
	for _, name := range []string{"meminfo", "cpuinfo"} {
		bind(d.dir(vm.ID, "hostview/proc", name), "/proc/"+name, "ro")
	}
	for _, name := range []string{"cpu", "node"} {
		bind(d.dir(vm.ID, "hostview/sys", name), "/sys/devices/system/"+name, "ro")
	}
	return mounts
}

// hooks take version 1's hierarchy blkio from the VM: limits there hold for one
// cgroup without those below it, so all of the VM's processes must stay in the VM's.
// Something must be mounted in its place, else systemd mounts it again.
func hooks() *specs.Hooks {
	if !hasBlkio() {
		return nil
	}
	const inside = "/sys/fs/cgroup/blkio"
	return &specs.Hooks{StartContainer: []specs.Hook{
		{Path: "/bin/umount", Args: []string{"umount", inside}},
		{Path: "/bin/mount", Args: []string{"mount", "-t", "tmpfs", "-o", "ro,size=4k", "none", inside}},
	}}
}

// capabilityNames are in the order of their numbers.
var capabilityNames = []string{"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
	"LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO",
	"SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD",
	"LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
	"PERFMON", "BPF", "CHECKPOINT_RESTORE"}

// hostCapabilities are those in our bounding set: asking for more fails. Loading
// modules and setting the clock stay the host's business.
func hostCapabilities() ([]string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(status), "CapBnd:")
	line, _, _ := strings.Cut(rest, "\n")
	set, err := strconv.ParseUint(strings.TrimSpace(line), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("capabilities of this process: %w", err)
	}
	var caps []string
	for bit, name := range capabilityNames {
		if set>>bit&1 == 1 && name != "SYS_MODULE" && name != "SYS_TIME" {
			caps = append(caps, "CAP_"+name)
		}
	}
	return caps, nil
}
