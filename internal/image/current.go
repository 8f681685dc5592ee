package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// NodeImage names the artefacts that make a node. The files are shared by all
// nodes and must never be written; call store.Hold for RootFS before using it.
type NodeImage struct {
	RootFS   string            `json:"rootFS"`
	Stores   map[string]string `json:"stores"` // "customer" and "management" → containerd root
	RuncPath string            `json:"runcPath"`
	Version  string            `json:"version"` // of Kubernetes
}

// ContainerImage is an image of a store, and where its files are.
type ContainerImage struct {
	Name   string `json:"name"`   // its full name
	Layout string `json:"layout"` // folder with its OCI image layout
}

// Digest is what containerd knows the image by.
func (i ContainerImage) Digest() (string, error) {
	index, err := readIndex(i.Layout)
	if err != nil {
		return "", err
	}
	if len(index.Manifests) != 1 {
		return "", fmt.Errorf("%s has %d images, not one", i.Layout, len(index.Manifests))
	}
	return index.Manifests[0].Digest.String(), nil
}

// current is what the newest complete build made.
type current struct {
	Node       NodeImage         `json:"node"`
	Platform   ContainerImage    `json:"platform"`
	Management []ContainerImage  `json:"management"`
	Tools      map[string]string `json:"tools"` // program → file
}

// ErrNone says that nothing was built yet.
var ErrNone = errors.New("there are no images yet")

func currentFile(dataDir string) string { return filepath.Join(cacheOf(dataDir).dir, "current.json") }

// Node returns the artefacts of the newest build in a data folder.
func Node(dataDir string) (NodeImage, error) {
	c, err := readCurrent(dataDir)
	return c.Node, err
}

// Platform returns the image of our own servers of the newest build in a data folder.
func Platform(dataDir string) (ContainerImage, error) {
	c, err := readCurrent(dataDir)
	return c.Platform, err
}

// Management returns the images that only the management cluster's nodes have, of the newest build in a data folder.
func Management(dataDir string) ([]ContainerImage, error) {
	c, err := readCurrent(dataDir)
	return c.Management, err
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
		return c, fmt.Errorf("%w in %s: run mke image build", ErrNone, dataDir)
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
			c.Platform = cache.image(step, keys)
		case step.String() == "bin/runc":
			c.Node.RuncPath = filepath.Join(path, "runc")
		case step.String() == "bin/etcd":
			c.Tools["etcd"] = filepath.Join(path, "etcd")
		case step.String() == "bin/kubernetes":
			c.Tools["kubectl"] = filepath.Join(path, kubernetesBinary)
			c.Tools["kube-apiserver"] = filepath.Join(path, kubernetesBinary)
		}
	}
	if images, complete := managementImages(cache, steps, keys); complete {
		c.Management = images
	}
	return writeJSON(currentFile(dataDir), c)
}

// managementImages are those of the stores named so; complete tells whether all of them are in the cache.
func managementImages(cache cache, steps []*Step, keys map[*Step]string) (images []ContainerImage, complete bool) {
	for _, step := range steps {
		store, ok := step.recipe.(*containerdStore)
		if !ok || !strings.HasPrefix(step.Name, "management") {
			continue
		}
		for _, oci := range store.Images {
			if !cache.has(oci, keys[oci]) {
				return nil, false
			}
			images = append(images, cache.image(oci, keys))
		}
	}
	return images, true
}

func (c cache) image(step *Step, keys map[*Step]string) ContainerImage {
	oci := step.recipe.(*ociImage)
	top := oci.Layers[len(oci.Layers)-1]
	return ContainerImage{Name: oci.ref(c.path(top, keys[top])), Layout: c.path(step, keys[step])}
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
