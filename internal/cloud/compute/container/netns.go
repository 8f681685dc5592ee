package container

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const netnsDir = "/run/netns"

// ensureNetns makes the named network namespace, and once more where an
// interrupted try left only its empty file.
func ensureNetns(ctx context.Context, name string) (string, error) {
	path := filepath.Join(netnsDir, name)
	exists, err := isNetns(path)
	if err != nil || exists {
		return path, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return path, ip(ctx, "netns", "add", name)
}

func isNetns(path string) (bool, error) {
	var stat unix.Statfs_t
	err := unix.Statfs(path, &stat)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil && stat.Type == unix.NSFS_MAGIC, err
}

func deleteNetns(ctx context.Context, name string) error {
	path := filepath.Join(netnsDir, name)
	exists, err := isNetns(path)
	if err != nil {
		return err
	}
	if exists {
		return ip(ctx, "netns", "delete", name)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(context.WithoutCancel(ctx), "ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
