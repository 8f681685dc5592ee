package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	cloudInitLog = "var/log/cloud-init-output.log"
	maxLogBytes  = 1 << 20
)

// Logs implements compute.Driver.
func (d *Driver) Logs(_ context.Context, id string, lines int) ([]string, error) {
	var all []string
	for _, source := range []struct{ dir, name string }{{d.dir(id), "console.log"}, {d.dir(id, "upper"), cloudInitLog}} {
		root, err := os.OpenRoot(source.dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		part, err := tail(root, source.name, lines)
		root.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, part...)
	}
	return all[max(0, len(all)-lines):], nil
}

// tail returns the last lines of a file, none when it does not exist. The VM's
// owner may have put anything in its place: links out of root are not followed,
// and only regular files are read.
func tail(root *os.Root, name string, lines int) ([]string, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil //nolint:nilerr // not there, or not what it should be: no lines
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	start := max(0, info.Size()-maxLogBytes)
	data, err := io.ReadAll(io.NewSectionReader(file, start, maxLogBytes))
	if err != nil {
		return nil, fmt.Errorf("read log: %w", err)
	}
	text := strings.TrimRight(strings.ToValidUTF8(string(data), "?"), "\n")
	if text == "" {
		return nil, nil
	}
	all := strings.Split(text, "\n")
	return all[max(0, len(all)-lines):], nil
}
