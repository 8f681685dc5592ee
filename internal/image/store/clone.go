// Package store gives each node a containerd store with all images in it,
// without copying the images.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// MountPoint is where a node sees the shared store, read-only.
const MountPoint = "/usr/lib/mke/store"

const (
	blobs     = "io.containerd.content.v1.content/blobs/sha256"
	snapshots = "io.containerd.snapshotter.v1.overlayfs/snapshots"
)

// CloneStore makes dst a containerd root folder with every image of storeDir.
// Databases are copied; contents and unpacked layers are links to MountPoint,
// where the node must see storeDir. containerd only ever removes the link.
//
// dst must be on a disk of the node's own, because containerd cannot put its
// overlays on an overlay. A dst that holds anything is taken as cloned already
// and left alone; an interrupted call leaves dst empty. The cache keeps storeDir
// as long as dst exists.
func CloneStore(storeDir, dst string) error {
	if empty, err := missingOrEmpty(dst); err != nil || !empty {
		return err
	}
	if _, err := os.Stat(filepath.Join(storeDir, blobs)); err != nil {
		return fmt.Errorf("no image store at %s: run mke image build: %w", storeDir, err)
	}
	if err := Hold(storeDir, dst); err != nil {
		return err
	}
	tmp := filepath.Clean(dst) + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("clone the image store: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(tmp), 0o755); err != nil {
		return fmt.Errorf("clone the image store: %w", err)
	}
	if err := cloneTree(storeDir, tmp); err != nil {
		return errors.Join(fmt.Errorf("clone the image store: %w", err), os.RemoveAll(tmp))
	}
	// Takes effect as a whole. Not os.Rename, which refuses an empty folder there.
	if err := syscall.Rename(tmp, dst); err != nil {
		return fmt.Errorf("clone the image store: %w", err)
	}
	return nil
}

func missingOrEmpty(dir string) (bool, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(names) == 0, err
}

func cloneTree(src, dst string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dst, rel)
		switch {
		case isShared(rel):
			if err := os.Symlink(filepath.Join(MountPoint, rel), target); err != nil {
				return err
			}
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return makeDir(target, d)
		case strings.HasSuffix(rel, ".db"):
			return copyFile(path, target)
		default:
			return fmt.Errorf("%s does not belong into a store", rel)
		}
	})
}

// isShared tells the parts that never change once containerd has written them: a
// blob, and the files of a committed snapshot.
func isShared(rel string) bool {
	dir, base := filepath.Split(rel)
	dir = filepath.Clean(dir)
	return dir == blobs || base == "fs" && filepath.Dir(dir) == snapshots
}

// makeDir keeps mode and owner, which containerd checks on its folders.
func makeDir(target string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if err := os.Mkdir(target, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chmod(target, info.Mode().Perm())
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// LinkCopy copies a store on the same file system so that another one can be
// made out of it: what never changes is linked, databases are copied.
func LinkCopy(src, dst string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dst, rel)
		switch {
		case d.IsDir() && rel == ".":
			return os.MkdirAll(target, 0o755)
		case d.IsDir():
			return linkDir(target, d)
		case filepath.Ext(rel) == ".db" && !strings.Contains(rel, "/fs/"):
			return copyFile(path, target)
		default:
			return os.Link(path, target)
		}
	})
}

func linkDir(target string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	if err := os.Mkdir(target, 0o700); err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		if err := os.Lchown(target, int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(target, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
}
