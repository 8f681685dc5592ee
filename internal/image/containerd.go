package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"magalu.cloud/mke/internal/image/store"
)

// containerdStore makes a containerd root folder with images imported and
// unpacked, so that a node has nothing to pull or unpack. A store can start from
// another one: then only what it adds is imported.
type containerdStore struct {
	Revision   int
	Containerd *Step   `json:"-"`
	Base       *Step   `json:"-"`
	Images     []*Step `json:"-"`
}

func (c *containerdStore) inputs() []*Step {
	inputs := append([]*Step{c.Containerd}, c.Images...)
	if c.Base != nil {
		inputs = append(inputs, c.Base)
	}
	return inputs
}

func (c *containerdStore) sources() []string { return nil }

func (c *containerdStore) make(ctx context.Context, w *work) error {
	if c.Base != nil {
		if err := store.LinkCopy(w.path(c.Base), w.out); err != nil {
			return err
		}
	}
	state := filepath.Join(filepath.Dir(w.out), temporary+"run")
	if len(socket(state)) > maxSocketPath {
		return fmt.Errorf("the path of the data folder is too long for a socket in it: %s has more than %d bytes", socket(state), maxSocketPath)
	}
	if err := errors.Join(os.RemoveAll(state), os.Mkdir(state, 0o700)); err != nil {
		return err
	}
	defer os.RemoveAll(state)
	daemon, err := startContainerd(ctx, w, w.path(c.Containerd), state)
	if err != nil {
		return err
	}
	err = c.load(ctx, w, state)
	if err := errors.Join(err, daemon.stop()); err != nil {
		return err
	}
	return keepStoreOnly(w.out)
}

// load streams all images at once: a layer that several share is sent once.
func (c *containerdStore) load(ctx context.Context, w *work, state string) error {
	reader, writer := io.Pipe()
	go func() {
		dirs := make([]string, len(c.Images))
		for i, step := range c.Images {
			dirs[i] = w.path(step)
		}
		writer.CloseWithError(writeArchive(writer, dirs))
	}()
	defer reader.Close()
	cmd := command(ctx, w, filepath.Join(w.path(c.Containerd), "ctr"),
		"--address", socket(state), "--namespace", "k8s.io", "images", "import", "--local", "--snapshotter", "overlayfs", "-")
	cmd.Stdin = reader
	return run(cmd)
}

// maxSocketPath is the kernel's limit, less its final zero.
const maxSocketPath = 107

func socket(state string) string { return filepath.Join(state, "c.sock") }

// keepStoreOnly removes what other plugins left in the root folder.
func keepStoreOnly(root string) error {
	keep := []string{"io.containerd.content.v1.content", "io.containerd.metadata.v1.bolt", "io.containerd.snapshotter.v1.overlayfs"}
	names, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if strings.Contains(strings.Join(keep, " "), name.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(root, name.Name())); err != nil {
			return err
		}
	}
	return nil
}

type containerd struct {
	cmd  *exec.Cmd
	done chan error
}

// startContainerd returns once containerd says that it is ready.
func startContainerd(ctx context.Context, w *work, programs, state string) (*containerd, error) {
	config := fmt.Sprintf(`version = 3
root = %q
state = %q
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "io.containerd.nri.v1.nri"]
[grpc]
  address = %q
`, w.out, filepath.Join(state, "state"), socket(state))
	path := filepath.Join(state, "config.toml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(state, "notify"), Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer notify.Close()
	cmd := command(ctx, w, filepath.Join(programs, "containerd"), "--config", path)
	// Its mounts go when it goes.
	cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify.LocalAddr().String())
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &containerd{cmd: cmd, done: make(chan error, 1)}
	go func() {
		c.done <- cmd.Wait()
		notify.Close()
	}()
	if err := awaitReady(notify); err != nil {
		return nil, errors.Join(fmt.Errorf("containerd did not start: %w", err), c.stop())
	}
	return c, nil
}

func awaitReady(notify *net.UnixConn) error {
	if err := notify.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	message := make([]byte, 4096)
	for {
		n, err := notify.Read(message)
		if err != nil {
			return err
		}
		if strings.Contains(string(message[:n]), "READY=1") {
			return nil
		}
	}
}

// stop ends containerd orderly, so that its databases are complete.
func (c *containerd) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-c.done; err != nil {
		return fmt.Errorf("containerd: %w", err)
	}
	return nil
}

func readIndex(layout string) (v1.IndexManifest, error) {
	var index v1.IndexManifest
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return index, err
	}
	if err := json.Unmarshal(text, &index); err != nil {
		return index, fmt.Errorf("read %s: %w", layout, err)
	}
	return index, nil
}

// WriteArchive writes images as one archive for `ctr images import`; what several of them share is in it once.
func WriteArchive(out io.Writer, images []ContainerImage) error {
	layouts := make([]string, len(images))
	for i, image := range images {
		layouts[i] = image.Layout
	}
	return writeArchive(out, layouts)
}

// writeArchive writes OCI layouts as one tar archive with one index.
func writeArchive(out io.Writer, layouts []string) error {
	index := v1.IndexManifest{SchemaVersion: 2}
	tw := tar.NewWriter(out)
	sent := map[string]bool{}
	for _, dir := range layouts {
		one, err := readIndex(dir)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, one.Manifests...)
		blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
		if err != nil {
			return err
		}
		for _, blob := range blobs {
			name := "blobs/sha256/" + filepath.Base(blob)
			if sent[name] {
				continue
			}
			sent[name] = true
			if err := writeBlob(tw, name, blob); err != nil {
				return err
			}
		}
	}
	text, err := json.Marshal(index)
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": text} {
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := tw.Write(text); err != nil {
			return err
		}
	}
	return tw.Close()
}

func writeBlob(tw *tar.Writer, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(tw, file)
	return err
}
