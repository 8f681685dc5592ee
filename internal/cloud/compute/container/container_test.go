package container

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"magalu.cloud/mke/internal/cloud/compute"
)

const id = "0d000000-0000-4000-8000-000000000001"

var vm = compute.VM{ID: id, Hostname: "web", VCPUs: 3, RAMMB: 2048, Image: compute.Image{RootFS: "/img", Store: "/store"}, Nameservers: []string{"172.26.0.1"}}

func newDriver(t *testing.T) *Driver {
	t.Helper()
	d, err := New(Options{Dir: filepath.Join(t.TempDir(), "vms"), Prefix: "mketest-vm-", CgroupParent: "mketest",
		Runc: func() (string, error) { return "/nonexistent/runc", nil }})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestHostViewIsTheMachineType(t *testing.T) {
	d := newDriver(t)
	if err := d.writeHostView(vm); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"proc/meminfo":          "MemTotal:        2097152 kB\n",
		"sys/cpu/online":        "0-2\n",
		"sys/node/node0/cpumap": "7\n",
	} {
		data, err := os.ReadFile(d.dir(id, "hostview", name))
		if err != nil || !strings.HasPrefix(string(data), want) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
	for _, pattern := range []string{"sys/cpu/cpu*/topology/core_id", "sys/node/node0/cpu*/topology/core_id"} {
		found, err := filepath.Glob(d.dir(id, "hostview", pattern))
		if err != nil || len(found) != 3 {
			t.Errorf("%s: %v, %v; want three CPUs", pattern, found, err)
		}
	}
	cpuinfo, err := os.ReadFile(d.dir(id, "hostview/proc/cpuinfo"))
	if err != nil || strings.Count(string(cpuinfo), "processor\t") != 3 {
		t.Errorf("cpuinfo: %s, %v", cpuinfo, err)
	}
}

// The kubelet writes the numbers in the names into a cpuset.
func TestCPUNamesHaveTheHostsNumbers(t *testing.T) {
	var got []string
	for i := range 5 {
		got = append(got, cpuName(i, 2))
	}
	if want := []string{"cpu0", "cpu1", "cpu00", "cpu01", "cpu000"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSpec(t *testing.T) {
	d := newDriver(t)
	if err := d.writeSpec(vm, base{RootFS: "/img", Store: "/store"}); err != nil {
		t.Fatal(err)
	}
	spec := d.spec(vm, base{Store: "/store"})
	if *spec.Linux.Resources.Memory.Limit != 2<<30 || *spec.Linux.Resources.CPU.Quota != 300_000 {
		t.Error("limits must be the machine type's")
	}
	if slices.Contains(spec.Process.Capabilities.Bounding, "CAP_SYS_MODULE") {
		t.Error("a VM must not load modules into the host's kernel")
	}
	for _, mount := range spec.Mounts {
		if mount.Type == "bind" && !slices.Contains(mount.Options, "rprivate") {
			t.Errorf("%s: mounts of the VM would appear on the host", mount.Destination)
		}
	}
	var onDisk map[string]any
	data, err := os.ReadFile(d.dir(id, "bundle", "config.json"))
	if err != nil || json.Unmarshal(data, &onDisk) != nil || strings.Contains(string(data), "maskedPaths") {
		t.Errorf("config.json: %s, %v", data, err)
	}
}

func TestBaseStaysTheFirst(t *testing.T) {
	d := newDriver(t)
	if err := os.MkdirAll(d.dir(id), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, root := range []string{"/first", "/newer"} {
		b, err := d.base(id, compute.Image{RootFS: root})
		if err != nil || b.RootFS != "/first" {
			t.Fatalf("got %+v, %v", b, err)
		}
	}
}

func TestLogsFollowNoLinks(t *testing.T) {
	d := newDriver(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := writeTree("/", map[string]file{
		secret[1:]:                   {content: "secret\n"},
		d.dir(id, "console.log")[1:]: {content: "one\ntwo\n"},
		d.dir(id, "upper/etc/x")[1:]: {content: ""},
	}); err != nil {
		t.Fatal(err)
	}
	log := d.dir(id, "upper", cloudInitLog)
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		t.Fatal(err)
	}
	logs := func() []string {
		t.Helper()
		lines, err := d.Logs(t.Context(), id, 3)
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	for _, target := range []string{secret, "../../../../../../.." + secret} {
		if err := os.Symlink(target, log); err != nil {
			t.Fatal(err)
		}
		if got := logs(); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("a link to %s: %v", target, got)
		}
		_ = os.Remove(log)
	}
	if out, err := exec.Command("mkfifo", log).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := logs(); len(got) != 2 {
		t.Errorf("a pipe: %v", got)
	}
	_ = os.Remove(log)
	if err := os.WriteFile(log, []byte("three\nfour \xff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := logs(); !slices.Equal(got, []string{"two", "three", "four ?"}) {
		t.Errorf("the last lines: %v", got)
	}
}

func TestExitComesFromTheHook(t *testing.T) {
	d := newDriver(t)
	if err := os.MkdirAll(d.dir(id, "host"), 0o755); err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]compute.Exit{"": compute.ExitUnknown, "reboot\n": compute.ExitReboot, "poweroff\n": compute.ExitPowerOff,
		"halt\n": compute.ExitPowerOff, "nonsense": compute.ExitUnknown} {
		if err := os.WriteFile(d.dir(id, "host", exitFile), []byte(word), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := d.exit(id); err != nil || got != want {
			t.Errorf("%q: got %q, %v", word, got, err)
		}
	}
}

func TestNothingIsAbsent(t *testing.T) {
	d := newDriver(t)
	if phase, _, err := d.State(t.Context(), id); err != nil || phase != compute.Absent {
		t.Errorf("got %s, %v", phase, err)
	}
	if err := d.Wait(t.Context(), id); err != nil {
		t.Error(err)
	}
	for range 2 { // also where nothing ever was, and without runc
		if err := d.Delete(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if ids, err := d.List(t.Context()); err != nil || len(ids) != 0 {
		t.Errorf("got %v, %v", ids, err)
	}
}

func TestOneCommandPerVM(t *testing.T) {
	d := newDriver(t)
	lock, err := d.lock(id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.lock(id); !errors.Is(err, errBusy) {
		t.Errorf("a second command: %v", err)
	}
	_ = lock.Close()
	if again, err := d.lock(id); err != nil {
		t.Error(err)
	} else {
		_ = again.Close()
	}
}

func TestWaitReadable(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := waitReadable(ctx, reader); err == nil {
		t.Error("nothing happened, and it returned")
	}
	if err := reader.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Millisecond, func() { _ = writer.Close() })
	if err := waitReadable(t.Context(), reader); err != nil {
		t.Error(err)
	}
}

func TestDataFolderMustSuitMountOptions(t *testing.T) {
	if _, err := New(Options{Dir: "/data,1"}); err == nil {
		t.Error("a comma would end the mount option")
	}
}
