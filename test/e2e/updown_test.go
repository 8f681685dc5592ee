//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// testUp brings the region up: first killed, then interrupted, then in peace, and once more without anything to do.
func testUp(t *testing.T, r *region) {
	if res := r.mke("down"); res.code != 0 {
		t.Fatalf("cleaning up what an earlier run may have left: %s", res)
	}
	inOrder(t,
		step{"Killed", func(t *testing.T) {
			up := r.startUp(t)
			up.waitFor(t, "Management cluster")
			up.signal(t, syscall.SIGKILL)
		}},
		step{"Interrupted", func(t *testing.T) {
			up := r.startUp(t)
			up.waitFor(t, "Platform")
			if out := up.signal(t, os.Interrupt); !strings.Contains(out, "mke down") {
				t.Errorf("after Ctrl-C it does not say how to go on:\n%s", out)
			}
		}},
		step{"Complete", func(t *testing.T) {
			res := r.up()
			if res.code != 0 {
				t.Fatalf("%s", res)
			}
			t.Logf("\n%s", res)
		}},
		step{"Healthy", func(t *testing.T) {
			eventually(t, time.Minute, "every component is healthy", func() error {
				s, err := r.readStatus()
				if err == nil && s.healthy() != "" {
					err = fmt.Errorf("%s", s.healthy())
				}
				return err
			})
		}},
		step{"Again", func(t *testing.T) {
			before := r.daemonPID(t)
			res := r.up()
			if res.code != 0 {
				t.Fatalf("%s", res)
			}
			if after := r.daemonPID(t); after != before {
				t.Errorf("the cloud was replaced: process %d, then %d", before, after)
			}
			t.Logf("with nothing to do: %s", res.took.Round(100*time.Millisecond))
		}},
	)
}

// upProcess is a running `mke up`.
type upProcess struct {
	cmd  *exec.Cmd
	out  output
	done chan struct{}
}

// output is a file that a process writes to: all that it said is there the moment it has ended.
type output string

func (o output) String() string {
	text, err := os.ReadFile(string(o))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (r *region) startUp(t *testing.T) *upProcess {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "mke-up.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	up := &upProcess{cmd: exec.Command(filepath.Join(r.bin, "mke"), append([]string{"up", "--data-dir", r.data}, upFlags...)...), out: output(file.Name()), done: make(chan struct{})}
	up.cmd.Stdout, up.cmd.Stderr = file, file
	if err := up.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = up.cmd.Wait() // it always ends badly here
		close(up.done)
	}()
	return up
}

// waitFor waits until a phase has begun.
func (u *upProcess) waitFor(t *testing.T, phase string) {
	t.Helper()
	eventually(t, 10*time.Minute, "`mke up` reaches "+phase, func() error {
		if strings.Contains(u.out.String(), phase) {
			return nil
		}
		select {
		case <-u.done:
			t.Fatalf("`mke up` ended:\n%s", u.out)
		default:
		}
		return fmt.Errorf("it says:\n%s", lastLines(u.out.String(), 3))
	})
}

// signal ends it and returns all that it said.
func (u *upProcess) signal(t *testing.T, sig os.Signal) string {
	t.Helper()
	if err := u.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case <-u.done:
	case <-time.After(time.Minute):
		t.Fatalf("`mke up` does not end after %v:\n%s", sig, u.out)
	}
	return u.out.String()
}

// testDown leaves a cluster in the region and wants nothing on the machine after `mke down`.
func testDown(t *testing.T, r *region) {
	c := r.create(t, "left-over")
	eventually(t, creationLimit, "the cluster has a machine", func() error {
		found, err := r.inCloud(t.Context(), c.id)
		if err == nil && len(found) == 0 {
			err = fmt.Errorf("nothing yet")
		}
		return err
	})
	res := r.mke("down")
	if res.code != 0 {
		t.Fatalf("%s", res)
	}
	t.Logf("down after %s", res.took.Round(100*time.Millisecond))
	if found := r.leftOvers(t); len(found) > 0 {
		t.Errorf("left on the machine:\n%s", strings.Join(found, "\n"))
	}
	if res := r.mke("down"); res.code != 0 {
		t.Errorf("down again: %s", res)
	}
}

// leftOvers lists what a region makes on a machine, wherever it is.
func (r *region) leftOvers(t *testing.T) []string {
	t.Helper()
	out := append(mounts(r.data+"/cloud"), loops(r.data+"/cloud")...)
	for pid, cmdline := range processes() {
		if strings.Contains(cmdline, r.data+"/cloud") || strings.Contains(cmdline, filepath.Join(r.bin, "mke")+" ") || strings.HasPrefix(cmdline, "mke ") {
			out = append(out, fmt.Sprintf("process %d: %s", pid, cmdline))
		}
	}
	for _, glob := range []string{"/run/netns/mke*", "/sys/fs/cgroup/mke*", "/sys/fs/cgroup/*/mke*", "/sys/class/net/mke*"} {
		found, _ := filepath.Glob(glob)
		out = append(out, found...)
	}
	tables := run(os.Environ(), "", "nft", "list", "tables")
	for _, line := range strings.Split(tables.stdout, "\n") {
		if strings.Contains(line, "mke") {
			out = append(out, line)
		}
	}
	entries, err := os.ReadDir(r.data)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "cache" && !strings.HasSuffix(e.Name(), ".lock") {
			out = append(out, filepath.Join(r.data, e.Name()))
		}
	}
	return out
}
