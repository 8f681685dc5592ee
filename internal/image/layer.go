package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// layer packs files into one layer of a container image: an uncompressed tar,
// equal byte for byte when its contents are equal.
type layer struct {
	Revision int
	Trees    []tree            // in order; a later one wins
	Links    map[string]string `json:",omitempty"` // path → target
	Texts    map[string]string `json:",omitempty"` // path → content of a small file
	Dirs     []ownedDir        `json:",omitempty"`
	Exec     []string          `json:",omitempty"` // glob patterns of paths that must be executable
	Modes    map[string]int64  `json:",omitempty"` // path → permissions, where they are special
}

// tree is a file or folder of an input, or of the repository when From is nil.
type tree struct {
	From     *Step `json:"-"`
	Path, To string
}

type ownedDir struct {
	Path string
	Mode int64
	UID  int
}

const layerFile = "layer.tar"

// Files in a layer carry one fixed time: a build must not differ by its hour.
var layerTime = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

func (l *layer) inputs() []*Step {
	var steps []*Step
	for _, t := range l.Trees {
		if t.From != nil {
			steps = append(steps, t.From)
		}
	}
	return steps
}

func (l *layer) sources() []string {
	var paths []string
	for _, t := range l.Trees {
		if t.From == nil {
			paths = append(paths, t.Path)
		}
	}
	return paths
}

func (l *layer) make(_ context.Context, w *work) error {
	entries := entries{}
	for _, t := range l.Trees {
		root := w.source
		if t.From != nil {
			root = w.path(t.From)
		}
		if err := entries.addTree(filepath.Join(root, t.Path), t.To); err != nil {
			return err
		}
	}
	for _, d := range l.Dirs {
		entries.add(&tar.Header{Name: d.Path, Typeflag: tar.TypeDir, Mode: d.Mode, Uid: d.UID, Gid: d.UID}, entry{})
	}
	for name, target := range l.Links {
		entries.add(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777}, entry{})
	}
	for name, text := range l.Texts {
		entries.add(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))}, entry{text: text})
	}
	if err := entries.makeExecutable(l.Exec); err != nil {
		return err
	}
	for name, mode := range l.Modes {
		if _, ok := entries[name]; !ok {
			return fmt.Errorf("there is no %s to set permissions of", name)
		}
		entries[name].header.Mode = mode
	}
	file, err := os.Create(filepath.Join(w.out, layerFile))
	if err != nil {
		return err
	}
	return errors.Join(entries.write(file), file.Close())
}

// entries maps a path in the layer to its header and where its content comes from.
type entries map[string]entry

type entry struct {
	header *tar.Header
	file   string
	text   string
}

func (e entries) add(h *tar.Header, from entry) {
	h.Name = strings.Trim(path.Clean("/"+h.Name), "/")
	if h.Name == "" {
		return
	}
	h.ModTime = layerTime
	from.header = h
	e[h.Name] = from
	e.addParents(h.Name)
}

func (e entries) addParents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := e[dir]; ok {
			return
		}
		e[dir] = entry{header: &tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o755, ModTime: layerTime}}
	}
}

func (e entries) addTree(top, to string) error {
	return filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		target := ""
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if target, err = os.Readlink(p); err != nil {
				return err
			}
		case !info.IsDir() && !info.Mode().IsRegular():
			return nil // device nodes and sockets: the runtime makes its own
		}
		h, err := tar.FileInfoHeader(info, target)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		// Only what decides a file's use: no names, times or extended attributes.
		h = &tar.Header{Typeflag: h.Typeflag, Linkname: h.Linkname, Size: h.Size, Mode: h.Mode, Name: path.Join(to, rel)}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			h.Uid, h.Gid = int(stat.Uid), int(stat.Gid)
		}
		e.add(h, entry{file: p})
		return nil
	})
}

func (e entries) makeExecutable(patterns []string) error {
	for _, pattern := range patterns {
		found := false
		for name, entry := range e {
			if ok, err := path.Match(pattern, name); err != nil {
				return err
			} else if ok {
				entry.header.Mode |= 0o111
				found = true
			}
		}
		if !found {
			return fmt.Errorf("no file matches %s", pattern)
		}
	}
	return nil
}

func (e entries) write(w io.Writer) error {
	names := make([]string, 0, len(e))
	for name := range e {
		names = append(names, name)
	}
	sort.Strings(names)
	tw := tar.NewWriter(w)
	for _, name := range names {
		if err := e[name].write(tw); err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
	}
	return tw.Close()
}

func (e entry) write(tw *tar.Writer) error {
	if err := tw.WriteHeader(e.header); err != nil {
		return err
	}
	if e.header.Typeflag != tar.TypeReg {
		return nil
	}
	if e.file == "" {
		_, err := io.WriteString(tw, e.text)
		return err
	}
	file, err := os.Open(e.file)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(tw, file)
	return err
}
