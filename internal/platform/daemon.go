package platform

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/progress"
	"magalu.cloud/mke/internal/session"
)

// CloudAddress is where the local cloud answers: the host's address on the edge bridge.
const CloudAddress = "198.18.0.1:8443"

// daemon is the host's only process of ours: `mke cloud`.
type daemon struct {
	paths  Paths
	region string
	quotas map[string]int64
}

func (d daemon) args() []string {
	args := []string{"cloud",
		"--data-dir", d.paths.Data,
		"--region", d.region,
		"--listen", CloudAddress,
		"--tls-cert", d.paths.PKI("cloud.crt"),
		"--tls-key", d.paths.PKI("cloud.key"),
		"--bootstrap", d.paths.Bootstrap(),
		"--fault-injection",
	}
	if len(d.quotas) > 0 {
		args = append(args, "--quotas", formatQuotas(d.quotas))
	}
	return args
}

// ensure starts the daemon unless the same program already runs with the same flags, and waits until it answers.
func (d daemon) ensure(ctx context.Context, ph *progress.Phase) error {
	if pid := d.pid(); pid != 0 {
		if sameProgram(pid) && d.sameFlags(pid) {
			ph.Detail("runs already (process %d)", pid)
			return d.waitHealthy(ctx, pid)
		}
		ph.Detail("replacing process %d by this build and these flags", pid)
		if err := d.stop(ctx); err != nil {
			return err
		}
	}
	pid, err := d.start()
	if err != nil {
		return err
	}
	return d.waitHealthy(ctx, pid)
}

func (d daemon) start() (int, error) {
	if err := checkPort(CloudAddress); err != nil {
		return 0, err
	}
	exe, err := os.Executable()
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(filepath.Dir(d.paths.CloudLog()), 0o755); err != nil {
		return 0, err
	}
	logFile, err := os.OpenFile(d.paths.CloudLog(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer logFile.Close()
	cmd := exec.Command(exe, d.args()...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // outlives this command and its terminal
	if err := startPreferred(cmd); err != nil {
		return 0, fmt.Errorf("cannot start the local cloud: %w", err)
	}
	go func() { _ = cmd.Wait() }() // no zombie while this command goes on
	return cmd.Process.Pid, writeFile(d.paths.CloudPID(), []byte(strconv.Itoa(cmd.Process.Pid)), 0o644)
}

// startPreferred starts a process with precedence over VMs, or without it where the host does not let us. What it starts inherits its nice
// value, VMs do not.
func startPreferred(cmd *exec.Cmd) error {
	runtime.LockOSThread() // a nice value belongs to a thread, and a child has that of the thread that made it
	defer runtime.UnlockOSThread()
	if raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && unix.Setpriority(unix.PRIO_PROCESS, 0, session.Preferred) == nil {
		defer func() { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, 20-raw) }()
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	session.Prefer(cmd.Process.Pid)
	return nil
}

// checkPort says in a sentence that another program has the port on all of the host's addresses.
func checkPort(address string) error {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", ":"+port)
	if err != nil {
		return fmt.Errorf("another program has TCP port %s, which the local cloud needs: stop that program (`ss -tlnp` names it) and try again", port)
	}
	return l.Close()
}

// pid returns the running daemon's process id, or 0.
func (d daemon) pid() int {
	data, err := os.ReadFile(d.paths.CloudPID())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		return 0
	}
	// Ids are reused: the command line tells whether it is still ours.
	if line := commandLine(pid); len(line) < 4 || !slices.Equal(line[1:4], []string{"cloud", "--data-dir", d.paths.Data}) {
		return 0
	}
	return pid
}

// commandLine is a program and its arguments, nothing if there is no such process.
func commandLine(pid int) []string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || len(raw) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
}

func (d daemon) sameFlags(pid int) bool {
	line := commandLine(pid)
	return len(line) > 0 && slices.Equal(line[1:], d.args())
}

// sameProgram says whether pid runs this very executable file.
func sameProgram(pid int) bool {
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	mine, err := os.Stat("/proc/self/exe")
	return err == nil && os.SameFile(running, mine)
}

// stop asks the daemon to end and waits for it; VMs go on running.
func (d daemon) stop(ctx context.Context) error {
	pid := d.pid()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	gone := func() (bool, error) { return d.pid() == 0, nil }
	if err := poll(ctx, 100*time.Millisecond, 15*time.Second, gone); err == nil {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return poll(ctx, 50*time.Millisecond, 10*time.Second, gone)
}

func (d daemon) waitHealthy(ctx context.Context, pid int) error {
	err := poll(ctx, 100*time.Millisecond, time.Minute, func() (bool, error) {
		if d.healthy(ctx) == nil {
			return true, nil
		}
		if d.pid() != pid {
			return false, fmt.Errorf("the local cloud ended at once; its last words:\n%s", tail(d.paths.CloudLog(), 5))
		}
		return false, nil
	})
	if errors.Is(err, errPollTimeout) {
		return fmt.Errorf("the local cloud does not answer, see %s", d.paths.CloudLog())
	}
	return err
}

func (d daemon) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cloud/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := d.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the local cloud answers %s", resp.Status)
	}
	return nil
}

// put sets something of the daemon's that only this machine may set.
func (d daemon) put(ctx context.Context, path string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://cloud"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := d.client().Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // what there is of it
	return fmt.Errorf("the local cloud answers %s: %s", resp.Status, text)
}

// client speaks HTTP through the daemon's unix socket.
func (d daemon) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", d.paths.CloudSocket())
		},
	}}
}

func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return lastLines(data, lines)
}
