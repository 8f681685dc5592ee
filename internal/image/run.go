package image

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// command prepares a tool whose output goes to the step's log and which does not
// outlive this process.
func command(ctx context.Context, w *work, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = w.log, w.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// isolated prepares a tool in mount and process namespaces of its own: however
// it ends, no mount and no child of it stays behind.
func isolated(ctx context.Context, w *work, name string, args ...string) *exec.Cmd {
	unshare := []string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", name}
	return command(ctx, w, "unshare", append(unshare, args...)...)
}

func run(cmd *exec.Cmd) error {
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", cmd.Args[0], err)
	}
	return nil
}

// output runs a short tool and returns what it prints.
func output(cmd *exec.Cmd) (string, error) {
	cmd.Stdout = nil
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return strings.TrimSpace(string(text)), nil
}

// tail returns the last lines of a log, for the error message.
func tail(path string, lines int) string {
	const most = 16 << 10
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
