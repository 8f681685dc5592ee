// Package container is the driver that runs virtual machines as system
// containers: runc starts the image's systemd in namespaces of its own.
//
// It shares the host's kernel, so it is for development, tests and trusted
// tenants. A VM does not depend on the daemon: runc leaves it behind as a
// process of its own session, and everything about it is in its folder, its
// network namespace (mke-vm-…) and its cgroup (mke/<instance id>), all of which
// are found again by name.
package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"magalu.cloud/mke/internal/cloud/compute"
)

// Options are how the driver is set up. All fields but the last two are required.
type Options struct {
	Dir  string                 // one folder per VM below it
	Runc func() (string, error) // path of the runc binary
	// CloneStore fills dst, a VM's /var/lib/containerd, from an image's store. It
	// leaves a dst alone that holds anything.
	CloneStore func(store, dst string) error
	// Hold keeps a cached path from being removed while the path user exists.
	Hold func(path, user string) error

	Prefix       string // of VMs' network namespaces and of containers; default "mke-vm-"
	CgroupParent string // default "mke"
}

// Driver implements compute.Driver.
type Driver struct {
	Options
	caps []string // what the host can give
}

var _ compute.Driver = (*Driver)(nil)

// New returns the driver; it makes nothing on the machine.
func New(options Options) (*Driver, error) {
	if strings.ContainsAny(options.Dir, ":,") {
		return nil, fmt.Errorf("the data folder %s must not have a ':' or ',' in its path", options.Dir)
	}
	if options.Prefix == "" {
		options.Prefix = "mke-vm-"
	}
	if options.CgroupParent == "" {
		options.CgroupParent = "mke"
	}
	caps, err := hostCapabilities()
	if err != nil {
		return nil, err
	}
	return &Driver{Options: options, caps: caps}, nil
}

func (d *Driver) dir(id string, elem ...string) string {
	return filepath.Join(append([]string{d.Dir, id}, elem...)...)
}

func (d *Driver) name(id string) string { return d.Prefix + id }

func (d *Driver) netnsName(id string) string { return d.Prefix + id[:8] }

// Attach makes the VM's folder first: whatever exists of a VM, List finds it.
func (d *Driver) Attach(ctx context.Context, id string) (string, error) {
	if err := os.MkdirAll(d.dir(id), 0o700); err != nil {
		return "", err
	}
	return ensureNetns(ctx, d.netnsName(id))
}

// base is what a VM was made from. It is written once, so that a VM keeps its
// root file system when a newer image of the same name appears.
type base struct {
	RootFS string `json:"root_fs"`
	Store  string `json:"store"`
}

func (d *Driver) base(id string, image compute.Image) (base, error) {
	path, b := d.dir(id, "vm.json"), base{RootFS: image.RootFS, Store: image.Store}
	data, err := os.ReadFile(path)
	if err == nil {
		return b, json.Unmarshal(data, &b)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	if data, err = json.Marshal(b); err != nil {
		return b, err
	}
	return b, writeFile(path, data)
}

// Create implements compute.Driver.
func (d *Driver) Create(ctx context.Context, vm compute.VM) error {
	phase, _, err := d.State(ctx, vm.ID)
	if err != nil || phase == compute.Created || phase == compute.Running {
		return err
	}
	b, err := d.base(vm.ID, vm.Image)
	if err != nil {
		return err
	}
	if err := d.Hold(b.RootFS, d.dir(vm.ID)); err != nil {
		return fmt.Errorf("keep image: %w", err)
	}
	if err := d.prepareData(vm, b); err != nil {
		return err
	}
	if err := d.prepareRoot(vm, b); err != nil {
		return err
	}
	if err := d.writeHostView(vm); err != nil {
		return err
	}
	if err := d.writeSpec(vm, b); err != nil {
		return err
	}
	// A container that stopped, or whose making was interrupted, is in the way.
	if err := d.runc(ctx, vm.ID, nil, "delete", "--force", d.name(vm.ID)); err != nil {
		return err
	}
	if err := os.Remove(d.dir(vm.ID, "host", exitFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	console, err := os.OpenFile(d.dir(vm.ID, "console.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	if err := d.runc(ctx, vm.ID, console, "create", "--bundle", d.dir(vm.ID, "bundle"), d.name(vm.ID)); err != nil {
		return err
	}
	d.weigh()
	return nil
}

// Start implements compute.Driver.
func (d *Driver) Start(ctx context.Context, id string) error {
	phase, _, err := d.State(ctx, id)
	if err != nil || phase == compute.Running {
		return err
	}
	return d.runc(ctx, id, nil, "start", d.name(id))
}

const (
	powerOffSignal = "38" // SIGRTMIN+4: systemd starts poweroff.target
	stopTimeout    = 20 * time.Second
)

// Stop asks systemd to power off and kills the VM when that takes more than 20 s.
func (d *Driver) Stop(ctx context.Context, id string) error {
	phase, _, err := d.State(ctx, id)
	if err != nil || phase == compute.Absent || phase == compute.Stopped {
		return err
	}
	if phase == compute.Created {
		return d.runc(ctx, id, nil, "delete", "--force", d.name(id))
	}
	if err := d.Resume(ctx, id); err != nil { // paused processes take no signal
		return err
	}
	if err := d.runc(ctx, id, nil, "kill", d.name(id), powerOffSignal); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	if err := d.Wait(patience, id); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := d.runc(ctx, id, nil, "kill", d.name(id), "KILL"); err != nil {
		return err
	}
	return d.Wait(ctx, id)
}

// Delete implements compute.Driver. It does without runc, whose binary may be
// gone with the cache. The folder goes last: while it exists, List shows the VM.
func (d *Driver) Delete(ctx context.Context, id string) error {
	lock, err := d.lock(id)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := d.removeCgroups(ctx, id); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(d.runcRoot(), d.name(id))); err != nil {
		return err
	}
	if err := unmountBelow(d.dir(id)); err != nil {
		return err
	}
	if err := deleteNetns(ctx, d.netnsName(id)); err != nil {
		return err
	}
	if err := removeAll(d.dir(id)); err != nil {
		return err
	}
	return os.Remove(d.lockFile(id))
}

var fullID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// List finds VMs by their folders, cgroups and network namespaces. Of a VM of
// which only the namespace is left it returns the first 8 characters of the id,
// which Delete understands.
func (d *Driver) List(context.Context) ([]string, error) {
	found := map[string]bool{}
	folders := append(d.cgroups(""), d.Dir)
	for _, folder := range folders {
		names, err := listDir(folder)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if fullID.MatchString(name) {
				found[name] = true
			}
		}
	}
	known := map[string]bool{}
	var ids []string
	for id := range found {
		known[id[:8]] = true
		ids = append(ids, id)
	}
	names, err := listDir(netnsDir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if id, ok := strings.CutPrefix(name, d.Prefix); ok && len(id) == 8 && !known[id] {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func listDir(path string) ([]string, error) {
	entries, err := os.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}
