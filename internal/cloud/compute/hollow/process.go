package hollow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"magalu.cloud/mke/internal/cloud/compute/hollow/machine"
	"magalu.cloud/mke/internal/session"
)

// Command is the subcommand of this program's `cloud` that the process is.
const Command = "hollow"

const (
	startTimeout = 15 * time.Second
	stopTimeout  = 15 * time.Second
	restartPause = time.Second
)

// process is the one that runs the machines. It outlives the daemon; whether it is there, its socket tells.
type process struct {
	dir    string
	logger *slog.Logger
	client *http.Client

	mu     sync.Mutex    // held while it is started
	needed chan struct{} // closed when it was started for the first time
	once   sync.Once
}

func newProcess(dir string, logger *slog.Logger) *process {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", machine.SocketPath(dir))
	}
	return &process{dir: dir, logger: logger, needed: make(chan struct{}),
		client: &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute}}}
}

func (p *process) request(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://hollow"+path, nil)
	if err != nil {
		return nil, err
	}
	return p.client.Do(req)
}

func (p *process) post(ctx context.Context, path string) error {
	resp, err := p.request(ctx, http.MethodPost, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusNoContent {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("hollow VMs: %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return nil
}

// tell starts the process when it is not there.
func (p *process) tell(ctx context.Context, path string) error {
	err := p.post(ctx, path)
	if !notThere(err) {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	return p.post(ctx, path)
}

// tellIfThere leaves a process alone that is not there: it will read the record.
func (p *process) tellIfThere(ctx context.Context, path string) error {
	if err := p.post(ctx, path); !notThere(err) {
		return err
	}
	if !p.locked() {
		return nil
	}
	return p.tell(ctx, path) // it is just starting, and may have read the old record
}

func notThere(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)
}

// locked tells whether a process holds the folder.
func (p *process) locked() bool {
	file, err := os.Open(machine.LockPath(p.dir))
	if err != nil {
		return false
	}
	defer file.Close()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// start starts the process unless one is there, and waits until it answers.
func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.locked() {
		if err := p.spawn(); err != nil {
			return fmt.Errorf("start the process of hollow VMs: %w", err)
		}
	}
	p.once.Do(func() { close(p.needed) })
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", machine.SocketPath(p.dir))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return errors.New("the process of hollow VMs does not answer, see " + p.logFile())
		}
	}
}

func (p *process) logFile() string { return filepath.Join(p.dir, "hollow.log") }

func (p *process) pidFile() string { return filepath.Join(p.dir, "pid") }

func (p *process) spawn() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(exe, "cloud", Command, "--dir", p.dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // outlives the daemon
	if err := cmd.Start(); err != nil {
		return err
	}
	session.Prefer(cmd.Process.Pid) // it is thousands of VMs, which would be lost if their leases came late
	go func() { _ = cmd.Wait() }()  // no zombie while the daemon goes on
	return machine.WriteFile(p.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)))
}

// supervise starts the process again when it ends, until ctx is done; from now on when there are VMs, else from the first one on.
// One of another build is replaced: the machines go on in it.
func (p *process) supervise(ctx context.Context, now bool) {
	if !now {
		select {
		case <-p.needed:
		case <-ctx.Done():
			return
		}
	} else if pid := p.pid(); pid != 0 && !sameProgram(pid) {
		if err := p.end(ctx); err != nil {
			p.logger.Error("hollow VMs: the process of another build does not end", "error", err)
		}
	}
	for ctx.Err() == nil {
		if err := p.start(ctx); err != nil && ctx.Err() == nil {
			p.logger.Error("hollow VMs have no process", "error", err)
		}
		p.await(ctx)
		select {
		case <-time.After(restartPause): // not more often, should it always end at once
		case <-ctx.Done():
		}
	}
}

// await returns when the process ended.
func (p *process) await(ctx context.Context) {
	resp, err := p.request(ctx, http.MethodGet, "/wait")
	if err != nil {
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body) // it ends with the connection
}

// pid of the process, 0 when there is none.
func (p *process) pid() int {
	text, err := os.ReadFile(p.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return 0
	}
	// Ids are reused: the command line tells whether it is still ours.
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(cmdline), "\x00"+Command+"\x00--dir\x00"+p.dir+"\x00") {
		return 0
	}
	return pid
}

func sameProgram(pid int) bool {
	running, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	mine, err := os.Stat("/proc/self/exe")
	return err == nil && os.SameFile(running, mine)
}

// end ends the process gently, then not.
func (p *process) end(ctx context.Context) error {
	for _, signal := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
		pid := p.pid()
		if pid == 0 {
			return nil
		}
		if err := unix.Kill(pid, signal); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
		patience, cancel := context.WithTimeout(ctx, stopTimeout)
		for p.pid() == pid && patience.Err() == nil {
			sleep(patience, 20*time.Millisecond)
		}
		cancel()
	}
	if p.pid() != 0 {
		return errors.New("the process of hollow VMs does not end")
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
