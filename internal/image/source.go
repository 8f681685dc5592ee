package image

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// fileHasher hashes files and folders of the repository, each once.
type fileHasher struct {
	root string
	done map[string]string
}

func newFileHasher(root string) *fileHasher {
	return &fileHasher{root: root, done: map[string]string{}}
}

// hash covers names, types, executable bits, link targets and contents; tests
// decide nothing and are left out. A missing path has a hash of its own.
func (f *fileHasher) hash(path string) (string, error) {
	if sum, ok := f.done[path]; ok {
		return sum, nil
	}
	h := sha256.New()
	top := filepath.Join(f.root, path)
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			if p == top && errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		if d.IsDir() {
			if d.Name() == "testdata" || d.Name() == "node_modules" {
				return fs.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(p, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		return hashFile(h, p, rel, d)
	})
	if err != nil {
		return "", err
	}
	f.done[path] = hex.EncodeToString(h.Sum(nil))
	return f.done[path], nil
}

func hashFile(h io.Writer, path, name string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	fmt.Fprintf(h, "%s %v %d\n", name, info.Mode()&(fs.ModeType|0o111), info.Size())
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := os.Readlink(path)
		if err != nil {
			return err
		}
		_, err = io.WriteString(h, target)
		return err
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(h, file)
	return err
}

// FindSource returns the repository that holds the recipes: the folder above the
// running binary's (bin/mke) or above the working directory, whichever has them.
func FindSource() (string, error) {
	var starts []string
	if exe, err := os.Executable(); err == nil {
		starts = append(starts, filepath.Dir(exe))
	}
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	for _, dir := range starts {
		for {
			if _, err := os.Stat(filepath.Join(dir, "images", "kubernetes")); err == nil {
				return dir, nil
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return "", errors.New("images are built from the source repository: run mke inside it, or name it with --source")
}
