package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// NodeImage names the artefacts that make a node. The files are shared by all
// nodes and must never be written; call store.Hold for RootFS before using it.
type NodeImage struct {
	RootFS   string            `json:"rootFS"`
	Stores   map[string]string `json:"stores"` // "customer" and "management" → containerd root
	RuncPath string            `json:"runcPath"`
	Version  string            `json:"version"` // of Kubernetes
}

// PlatformImage is this build of our own servers as a container image.
type PlatformImage struct {
	Name   string `json:"name"`   // its full name in the management store
	Layout string `json:"layout"` // folder with its OCI image layout
}

// current is what the newest complete build made.
type current struct {
	Node     NodeImage         `json:"node"`
	Platform PlatformImage     `json:"platform"`
	Tools    map[string]string `json:"tools"` // program → file
}

func currentFile(dataDir string) string { return filepath.Join(cacheOf(dataDir).dir, "current.json") }

// Node returns the artefacts of the newest build in a data folder.
func Node(dataDir string) (NodeImage, error) {
	c, err := readCurrent(dataDir)
	return c.Node, err
}

// Platform returns the image of our own servers of the newest build in a data folder.
func Platform(dataDir string) (PlatformImage, error) {
	c, err := readCurrent(dataDir)
	return c.Platform, err
}

// InstallTools puts kubectl, kube-apiserver and etcd into binDir. They stay valid
// when the cache is pruned.
func InstallTools(dataDir, binDir string) error {
	c, err := readCurrent(dataDir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(binDir, 0o755); err != nil {
		return fmt.Errorf("install the tools: %w", err)
	}
	for name, path := range c.Tools {
		if err := install(path, filepath.Join(binDir, name)); err != nil {
			return fmt.Errorf("install %s: %w", name, err)
		}
	}
	return nil
}

// install links a file, or copies it to another file system, in one step: a
// running program is not disturbed.
func install(from, to string) error {
	a, err := os.Stat(from)
	if err != nil {
		return err
	}
	if b, err := os.Stat(to); err == nil && os.SameFile(a, b) {
		return nil
	}
	tmp := to + temporary
	if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Link(from, tmp); err != nil {
		if err := copyExecutable(from, tmp); err != nil {
			return err
		}
	}
	return os.Rename(tmp, to)
}

func copyExecutable(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

func readCurrent(dataDir string) (current, error) {
	var c current
	text, err := os.ReadFile(currentFile(dataDir))
	if errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("there are no images in %s yet: run mke image build", dataDir)
	}
	if err != nil {
		return c, fmt.Errorf("read the list of images: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("read the list of images: %w", err)
	}
	return c, nil
}

// writeCurrent records the artefacts that are complete under their current keys;
// what is not built this time keeps its last entry.
func writeCurrent(dataDir string, steps []*Step, keys map[*Step]string) error {
	c, err := readCurrent(dataDir)
	if err != nil {
		c = current{}
	}
	if c.Node.Stores == nil {
		c.Node.Stores = map[string]string{}
	}
	if c.Tools == nil {
		c.Tools = map[string]string{}
	}
	cache := cacheOf(dataDir)
	for _, step := range steps {
		if !cache.has(step, keys[step]) {
			continue
		}
		path := cache.path(step, keys[step])
		switch {
		case step.Kind == "node":
			c.Node.RootFS, c.Node.Version = path, step.Version
		case step.Kind == "store":
			c.Node.Stores[step.Name] = path
		case step.String() == "oci/mke":
			oci := step.recipe.(*ociImage)
			layer := oci.Layers[len(oci.Layers)-1]
			c.Platform = PlatformImage{Name: oci.ref(cache.path(layer, keys[layer])), Layout: path}
		case step.String() == "bin/runc":
			c.Node.RuncPath = filepath.Join(path, "runc")
		case step.String() == "bin/etcd":
			c.Tools["etcd"] = filepath.Join(path, "etcd")
		case step.String() == "bin/kubernetes":
			c.Tools["kubectl"] = filepath.Join(path, kubernetesBinary)
			c.Tools["kube-apiserver"] = filepath.Join(path, kubernetesBinary)
		}
	}
	return writeJSON(currentFile(dataDir), c)
}

func writeJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
