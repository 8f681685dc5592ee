package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// nodeRoot makes a node's root file system: Debian, the node's programs and the
// files under images/node. Everything unchanged is a hard link into its input.
type nodeRoot struct {
	Revision   int
	Debian     *Step    `json:"-"`
	Kubernetes *Step    `json:"-"`
	Containerd *Step    `json:"-"`
	Runc       *Step    `json:"-"`
	CNI        *Step    `json:"-"`
	Calico     *Step    `json:"-"`
	Masked     []string // paths below /etc/systemd of what never starts
}

const nodeFiles = "images/node/files"

func (n *nodeRoot) inputs() []*Step {
	return []*Step{n.Debian, n.Kubernetes, n.Containerd, n.Runc, n.CNI, n.Calico}
}

func (n *nodeRoot) sources() []string { return []string{nodeFiles} }

func (n *nodeRoot) make(ctx context.Context, w *work) error {
	root := w.out
	copies := []struct{ from, to string }{
		{filepath.Join(w.path(n.Debian), "root"), ""},
		{w.path(n.Kubernetes), "usr/bin"},
		{w.path(n.Containerd), "usr/bin"},
		{w.path(n.Runc), "usr/bin"},
		{w.path(n.CNI), "opt/cni/bin"},
	}
	for _, c := range copies {
		if err := linkTree(ctx, w, c.from, filepath.Join(root, c.to)); err != nil {
			return err
		}
	}
	// Copied, not linked: a later edit in the repository must not reach this node.
	if err := run(command(ctx, w, "cp", "-rT", "--remove-destination", "--preserve=mode,links", "--no-dereference",
		filepath.Join(w.source, nodeFiles), root)); err != nil {
		return err
	}
	// Calico's installer finds its plugins there and copies nothing at each start.
	for _, name := range []string{"calico", "calico-ipam"} {
		if err := os.Link(filepath.Join(w.path(n.Calico), "calico"), filepath.Join(root, "opt/cni/bin", name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"kubelet", "kubeadm", "kubectl"} {
		if err := os.Symlink(kubernetesBinary, filepath.Join(root, "usr/bin", name)); err != nil {
			return err
		}
	}
	if err := n.configureUnits(ctx, w, root); err != nil {
		return err
	}
	return finishRoot(root)
}

// linkTree copies a folder by hard links, so that a binary is on the disk and in
// the page cache once, however many images hold it.
func linkTree(ctx context.Context, w *work, from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return run(command(ctx, w, "cp", "-alT", "--remove-destination", from, to))
}

// configureUnits applies the preset: what is not named there does not start.
func (n *nodeRoot) configureUnits(ctx context.Context, w *work, root string) error {
	for _, path := range n.Masked {
		link := filepath.Join(root, "etc/systemd", path)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("/dev/null", link); err != nil {
			return err
		}
	}
	return run(isolated(ctx, w, "chroot", root, "systemctl", "preset-all"))
}

// finishRoot removes what must differ between nodes or only matters at install
// time, and adds the folders that a node mounts over.
func finishRoot(root string) error {
	if err := removeGlobs(root, []string{
		"etc/ssh/ssh_host_*", "etc/resolv.conf", "etc/hostname", "var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/debconf/*-old", "var/log/*.log",
		"var/lib/dbus/machine-id", "etc/machine-id", "usr/share/doc/*/changelog*",
	}); err != nil {
		return err
	}
	// Empty, not missing: systemd gives each node an identity without taking
	// the long way of a first boot.
	if err := os.WriteFile(filepath.Join(root, "etc/machine-id"), nil, 0o444); err != nil {
		return err
	}
	for _, dir := range []string{
		"var/lib/containerd", "var/lib/kubelet", "var/lib/etcd", "etc/cni/net.d", "etc/kubernetes/manifests", "usr/lib/mke/store", "var/log/journal",
		"usr/libexec/kubernetes/kubelet-plugins/volume/exec",
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return fmt.Errorf("prepare the node's folders: %w", err)
		}
	}
	return os.Chmod(root, 0o755)
}
