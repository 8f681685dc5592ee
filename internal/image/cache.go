package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"magalu.cloud/mke/internal/image/store"
)

// cache holds artefacts as <dir>/<kind>/<name>/<key>. An artefact is made under
// a temporary name and renamed: what has its name is complete.
type cache struct{ dir string }

const temporary = ".tmp-"

func cacheOf(dataDir string) cache { return cache{filepath.Join(dataDir, "cache")} }

func (c cache) path(s *Step, key string) string {
	return filepath.Join(c.dir, s.Kind, s.Name, key)
}

func (c cache) has(s *Step, key string) bool {
	info, err := os.Stat(c.path(s, key))
	return err == nil && info.IsDir()
}

func (c cache) logFile(s *Step) string {
	return filepath.Join(c.dir, "logs", s.Kind+"-"+strings.ReplaceAll(s.Name, "/", "-")+".log")
}

// lock makes builds wait for each other. The kernel releases it when we die.
func (c cache) lock(ctx context.Context, waiting func()) (unlock func(), err error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the cache: %w", err)
	}
	for told := false; ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			file.Close()
			return nil, fmt.Errorf("lock the cache: %w", err)
		}
		if !told {
			waiting()
			told = true
		}
		// A blocking flock cannot be interrupted by the context.
		select {
		case <-ctx.Done():
			file.Close()
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// removeLeftovers removes what an interrupted build left. Only with the lock.
func (c cache) removeLeftovers() error {
	leftovers, err := filepath.Glob(filepath.Join(c.dir, "*", "*", temporary+"*"))
	if err != nil {
		return err
	}
	for _, path := range leftovers {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove the rest of an interrupted build: %w", err)
		}
	}
	return nil
}

// fill runs make on an empty temporary folder and gives the result its name.
func (c cache) fill(s *Step, key string, make func(dir string) error) (err error) {
	final := c.path(s, key)
	tmp := filepath.Join(filepath.Dir(final), temporary+key)
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	if err := make(tmp); err != nil {
		return err
	}
	return os.Rename(tmp, final)
}

// prune removes the artefacts of a step other than the current one, unless
// somebody still holds them.
func (c cache) prune(s *Step, current string) error {
	dir := filepath.Join(c.dir, s.Kind, s.Name)
	names, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, name.Name())
		if name.Name() == current || strings.Contains(name.Name(), ".") || store.Held(path) {
			continue
		}
		// Renamed first: half an artefact must never have its name.
		tmp := filepath.Join(dir, temporary+name.Name())
		if err := errors.Join(os.Rename(path, tmp), os.RemoveAll(tmp)); err != nil {
			return fmt.Errorf("prune %s: %w", s, err)
		}
	}
	return nil
}

// size is the space that a folder takes, in bytes; files linked several times
// within it count once, and what is just being removed not at all.
func size(dir string) int64 {
	var total int64
	seen := map[uint64]bool{}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			total += sizeOnce(d, seen)
		}
		return nil
	})
	return total
}

// sizeOnce is the size of a file whose inode was not seen before.
func sizeOnce(d fs.DirEntry, seen map[uint64]bool) int64 {
	info, err := d.Info()
	if err != nil {
		return 0
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		if seen[stat.Ino] {
			return 0
		}
		seen[stat.Ino] = stat.Nlink > 1
	}
	return info.Size()
}
