package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/network/dataplane"
	"magalu.cloud/mke/internal/session"
)

const (
	configFile = "haproxy.cfg"
	mapFile    = "acl.map"
	socketFile = "haproxy.sock"
	pidFile    = "haproxy.pid"
	loadedFile = "loaded" // process id and fingerprint of the skeleton that it runs with
	stderrFile = "start.log"
	stateFile  = "servers.state" // which targets were healthy, for the next process
)

const (
	startTimeout = 30 * time.Second // starting takes some 30 ms
	stopTimeout  = 5 * time.Second
)

// Process is the HAProxy of one load balancer. Its state is in Dir and in the kernel only.
type Process struct {
	Dir   string // its files
	Netns string // path of the network namespace it lives in
}

func (p Process) path(name string) string { return filepath.Join(p.Dir, name) }

// PID returns the process that accepts connections now, 0 when there is none.
// One in another namespace than Netns does not count.
func (p Process) PID() int {
	text, err := os.ReadFile(p.path(pidFile))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || !p.owns(pid) || !sameFile(fmt.Sprintf("/proc/%d/ns/net", pid), p.Netns) {
		return 0
	}
	return pid
}

// owns tells whether the process runs with our configuration file.
func (p Process) owns(pid int) bool {
	args := cmdline(pid)
	i := slices.Index(args, "-f")
	return i > 0 && i+1 < len(args) && args[i+1] == p.path(configFile) && filepath.Base(args[0]) == "haproxy"
}

// cmdline returns the arguments of a process; none for one that ended, reaped or not.
func cmdline(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}

func sameFile(a, b string) bool {
	x, errA := os.Stat(a)
	y, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(x, y)
}

// find returns the ids of all processes for which match holds.
func find(match func(pid int) bool) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && match(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// start starts HAProxy; with replace > 0 it takes over the sockets of that
// process, which then ends when its last connection does.
func (p Process) start(ctx context.Context, replace int) error {
	args := []string{"-D", "-f", p.path(configFile), "-p", p.path(pidFile)}
	if replace > 0 {
		args = append(args, "-x", p.path(socketFile), "-sf", strconv.Itoa(replace))
	}
	stderr, err := os.Create(p.path(stderrFile)) // a pipe would stay open with the process
	if err != nil {
		return fmt.Errorf("start haproxy: %w", err)
	}
	defer stderr.Close()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = dataplane.Inside(p.Netns, func() error {
		cmd := exec.CommandContext(ctx, "haproxy", args...)
		cmd.Stderr = stderr
		return cmd.Run() // ends when the process in the background is ready
	})
	if err != nil {
		text, _ := os.ReadFile(p.path(stderrFile))
		return fmt.Errorf("start haproxy: %w: %s", err, lastLines(text, 3))
	}
	session.Prefer(p.PID()) // it made one of its own
	return nil
}

// check lets HAProxy check a configuration file.
func check(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	output, err := exec.CommandContext(ctx, "haproxy", "-c", "-q", "-f", path).CombinedOutput()
	if err != nil {
		return fmt.Errorf("check the configuration: %w: %s", err, lastLines(output, 3))
	}
	return nil
}

func lastLines(text []byte, n int) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("; ")))
}

// Stop ends all processes of the load balancer, also those that only finish
// their last connections, and removes the files. Doing it again succeeds.
func (p Process) Stop(ctx context.Context) error {
	if err := stop(ctx, find(p.owns)); err != nil {
		return err
	}
	return os.RemoveAll(p.Dir)
}

func stop(ctx context.Context, pids []int) error {
	var errs []error
	for _, pid := range pids {
		exit, err := Watch(pid)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, exit.kill(ctx, pid))
		exit.Close()
	}
	return errors.Join(errs...)
}

// kill ends the process gently, then not.
func (e *Exit) kill(ctx context.Context, pid int) error {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := e.signal(signal); err != nil {
			return err
		}
		timer := time.NewTimer(stopTimeout)
		defer timer.Stop()
		select {
		case <-e.Done():
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
	}
	return fmt.Errorf("haproxy process %d does not end", pid)
}

// StopAll ends every HAProxy in namespaces whose name starts with prefix, with no other record than the kernel's.
func StopAll(ctx context.Context, prefix string) error {
	paths, err := filepath.Glob("/run/netns/" + prefix + "*")
	if err != nil || len(paths) == 0 {
		return err
	}
	return stop(ctx, find(func(pid int) bool {
		args := cmdline(pid)
		if len(args) == 0 || filepath.Base(args[0]) != "haproxy" {
			return false
		}
		ns := fmt.Sprintf("/proc/%d/ns/net", pid)
		return slices.ContainsFunc(paths, func(path string) bool { return sameFile(path, ns) })
	}))
}

// Exit tells when a process ends, whoever its parent is.
type Exit struct {
	fd   int
	file *os.File // of fd, for the runtime's poller
	done chan struct{}

	closed chan struct{}
	once   sync.Once
}

// Watch begins to watch a process. Close it when it is not needed any more.
func Watch(pid int) (*Exit, error) {
	exit := &Exit{done: make(chan struct{}), closed: make(chan struct{})}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	switch {
	case errors.Is(err, unix.ESRCH):
		close(exit.done)
		return exit, nil
	case err != nil:
		return nil, fmt.Errorf("watch process %d: %w", pid, err)
	}
	exit.fd, exit.file = fd, os.NewFile(uintptr(fd), "pidfd")
	go exit.wait()
	return exit, nil
}

// wait blocks in the runtime's poller: a pidfd becomes readable when the process ends.
func (e *Exit) wait() {
	conn, err := e.file.SyscallConn()
	if err != nil {
		return
	}
	ended := false
	err = conn.Read(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(poll, 0)
		ended = err == nil && n > 0
		return ended
	})
	if err == nil && ended {
		close(e.done)
	}
}

// Wait returns true when the process has ended, false after Close.
func (e *Exit) Wait() bool {
	select {
	case <-e.done:
		return true
	case <-e.closed:
		return false
	}
}

// Done is closed when the process has ended.
func (e *Exit) Done() <-chan struct{} { return e.done }

// Close ends the watching.
func (e *Exit) Close() {
	e.once.Do(func() {
		close(e.closed)
		if e.file != nil {
			e.file.Close()
		}
	})
}

func (e *Exit) signal(signal syscall.Signal) error {
	if e.file == nil {
		return nil
	}
	err := unix.PidfdSendSignal(e.fd, signal, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
