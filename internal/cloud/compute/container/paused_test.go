package container

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A suspended VM can be deleted: on version 1 its processes must be let go on to die.
func TestPausedProcessesDieWithTheVM(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("NOT RUN: needs root, for cgroups")
	}
	d := newDriver(t)
	folder, file, frozen := d.freezer(t)
	process := exec.Command("sleep", "600")
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Process.Kill() })
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	write("cgroup.procs", strconv.Itoa(process.Process.Pid))
	write(file, frozen)
	dead := make(chan struct{})
	go func() {
		_ = process.Wait() // it was killed
		close(dead)
	}()

	if err := d.removeCgroups(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	select {
	case <-dead:
	case <-time.After(5 * time.Second):
		t.Error("the process is still there")
	}
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("its cgroup: %v, want none", err)
	}
}

// freezer makes the VM's cgroup that pauses, and returns it with the file and the word for that.
func (d *Driver) freezer(t *testing.T) (folder, file, word string) {
	t.Helper()
	for _, path := range d.cgroups(id) {
		file, word = "cgroup.freeze", "1" // version 2
		if strings.Contains(path, "/freezer/") {
			file, word = "freezer.state", "FROZEN"
		}
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Rmdir(filepath.Dir(path)) })
		if _, err := os.Stat(filepath.Join(path, file)); err == nil {
			return path, file, word
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Skip("NOT RUN: no hierarchy of this host can pause processes")
	return "", "", ""
}
