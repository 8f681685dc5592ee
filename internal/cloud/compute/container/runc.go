package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/compute"
)

// exitFile is where a VM that shuts down leaves how: the word that systemd
// gives to the programs in its system-shutdown folder. See prepareRoot.
const exitFile = "last-shutdown"

const runcTimeout = time.Minute

func (d *Driver) runcRoot() string { return filepath.Join(d.Dir, ".runc") }

// runc runs one command that changes the VM. The command is finished even when
// ctx or the daemon ends, and holds the VM's lock as long as it runs: the next
// daemon does not interfere with what this one began.
func (d *Driver) runc(ctx context.Context, id string, console *os.File, args ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	binary, err := d.Runc()
	if err != nil {
		return err
	}
	lock, err := d.lock(id)
	if err != nil {
		return err
	}
	defer lock.Close()

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runcTimeout)
	defer cancel()
	log := filepath.Join(d.Dir, ".locks", id+".log") // not stderr, which a new VM takes over
	defer os.Remove(log)
	cmd := exec.CommandContext(ctx, binary, append([]string{"--root", d.runcRoot(), "--log", log}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = []*os.File{lock}
	if console != nil { // the VM keeps it, so it must be a file
		cmd.Stdout, cmd.Stderr = console, console
	}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(log) // whatever there is
		return fmt.Errorf("runc %s: %w: %s", args[0], err, lastLine(string(text)))
	}
	return nil
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func (d *Driver) lockFile(id string) string { return filepath.Join(d.Dir, ".locks", id) }

var errBusy = errors.New("another command works on this virtual machine")

func (d *Driver) lock(id string) (*os.File, error) {
	path := d.lockFile(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, err
	}
	return file, nil
}

type runcState struct {
	Status string `json:"status"`
	PID    int    `json:"pid"`
}

func (d *Driver) inspect(ctx context.Context, id string) (runcState, error) {
	var state runcState
	if exists, err := d.hasContainer(id); err != nil || !exists {
		return state, err
	}
	binary, err := d.Runc()
	if err != nil {
		return state, err
	}
	ctx, cancel := context.WithTimeout(ctx, runcTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary, "--root", d.runcRoot(), "state", d.name(id)).Output()
	if err == nil {
		return state, json.Unmarshal(out, &state)
	}
	if exists, statErr := d.hasContainer(id); statErr == nil && !exists { // deleted meanwhile
		return state, nil
	}
	return state, fmt.Errorf("runc state: %w", err)
}

// hasContainer looks for runc's record. Without it there is no container, or one
// whose making was interrupted.
func (d *Driver) hasContainer(id string) (bool, error) {
	_, err := os.Stat(filepath.Join(d.runcRoot(), d.name(id), "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// State implements compute.Driver.
func (d *Driver) State(ctx context.Context, id string) (compute.Phase, compute.Exit, error) {
	state, err := d.inspect(ctx, id)
	if err != nil {
		return "", "", err
	}
	switch state.Status {
	case "":
		return compute.Absent, "", nil
	case "created":
		return compute.Created, "", nil
	case "running", "paused":
		return compute.Running, "", nil
	case "stopped":
		exit, err := d.exit(id)
		return compute.Stopped, exit, err
	default:
		return "", "", fmt.Errorf("runc reports the unknown status %q", state.Status)
	}
}

func (d *Driver) exit(id string) (compute.Exit, error) {
	root, err := os.OpenRoot(d.dir(id, "host"))
	if err != nil {
		return compute.ExitUnknown, err
	}
	defer root.Close()
	lines, err := tail(root, exitFile, 1)
	if err != nil || len(lines) == 0 {
		return compute.ExitUnknown, err
	}
	switch lines[0] {
	case "reboot", "kexec":
		return compute.ExitReboot, nil
	case "poweroff", "halt", "exit":
		return compute.ExitPowerOff, nil
	default:
		return compute.ExitUnknown, nil
	}
}

// Wait sleeps on a file descriptor of the VM's first process; it costs no thread.
func (d *Driver) Wait(ctx context.Context, id string) error {
	state, err := d.inspect(ctx, id)
	if err != nil {
		return err
	}
	if state.Status != "running" && state.Status != "created" && state.Status != "paused" {
		return nil
	}
	fd, err := unix.PidfdOpen(state.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	file := os.NewFile(uintptr(fd), "pidfd")
	defer file.Close()
	// Only now it is sure that the descriptor is of the process that was meant.
	if again, err := d.inspect(ctx, id); err != nil || again.PID != state.PID || again.Status == "stopped" {
		return err
	}
	return waitReadable(ctx, file)
}

func waitReadable(ctx context.Context, file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = conn.Read(func(fd uintptr) bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
