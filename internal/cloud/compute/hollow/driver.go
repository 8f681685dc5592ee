// Package hollow is the driver of VMs without anything inside: a hollow VM has its row, its port's addresses and its metadata as
// every VM, and joins a cluster as its user data says, but has no processes, no disk and no link. Thousands fit on a small machine.
//
// What they do is in one process, `mke cloud hollow`; a VM is a folder, and does not depend on the daemon. See package machine.
package hollow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/compute/hollow/machine"
)

// Driver implements compute.Driver.
type Driver struct {
	dir     string // one folder per VM below it
	logger  *slog.Logger
	process *process

	mu    sync.Mutex
	stops map[string]chan struct{} // closed when the VM stops
}

var _ compute.Driver = (*Driver)(nil)

// New returns the driver; it makes nothing on the machine.
func New(dir string, logger *slog.Logger) *Driver {
	return &Driver{dir: dir, logger: logger, process: newProcess(dir, logger), stops: map[string]chan struct{}{}}
}

func (d *Driver) folder(id string) machine.Folder { return machine.Folder(filepath.Join(d.dir, id)) }

// Attach returns no namespace: nothing of the VM is on the wire.
func (d *Driver) Attach(_ context.Context, id string) (string, error) {
	return "", os.MkdirAll(string(d.folder(id)), 0o700)
}

// Create implements compute.Driver.
func (d *Driver) Create(_ context.Context, vm compute.VM) error {
	folder := d.folder(vm.ID)
	phase, err := folder.Phase()
	if err != nil || phase == machine.Created || running(phase) {
		return err
	}
	if err := folder.SetSpec(machine.Spec{
		ID: vm.ID, Name: vm.Name, Hostname: vm.Hostname, Zone: vm.Zone, MachineType: vm.MachineType, VCPUs: vm.VCPUs, RAMMB: vm.RAMMB, DiskGB: vm.DiskGB,
		Address: vm.Address, Gateway: vm.Gateway, Router: vm.Router, UserData: vm.UserData, Version: vm.Image.Version,
	}); err != nil {
		return err
	}
	return folder.SetPhase(machine.Created)
}

// Start implements compute.Driver.
func (d *Driver) Start(ctx context.Context, id string) error {
	phase, err := d.folder(id).Phase()
	if err != nil || running(phase) {
		return err
	}
	return d.set(ctx, id, machine.Running, true)
}

// Stop implements compute.Driver.
func (d *Driver) Stop(ctx context.Context, id string) error {
	phase, err := d.folder(id).Phase()
	if err != nil || phase == machine.Absent || phase == machine.Stopped {
		return err
	}
	if err := d.set(ctx, id, machine.Stopped, false); err != nil {
		return err
	}
	d.ended(id)
	return nil
}

// Pause implements compute.Driver.
func (d *Driver) Pause(ctx context.Context, id string) error {
	return d.change(ctx, id, machine.Running, machine.Paused)
}

// Resume implements compute.Driver.
func (d *Driver) Resume(ctx context.Context, id string) error {
	return d.change(ctx, id, machine.Paused, machine.Running)
}

func (d *Driver) change(ctx context.Context, id string, from, to machine.Phase) error {
	phase, err := d.folder(id).Phase()
	if err != nil || phase != from {
		return err
	}
	return d.set(ctx, id, to, false)
}

// set records a phase first and tells the process then: should it not be there, it finds the record when it starts.
func (d *Driver) set(ctx context.Context, id string, phase machine.Phase, cold bool) error {
	if err := d.folder(id).SetPhase(phase); err != nil {
		return err
	}
	path := "/machines/" + id
	if cold {
		path += "?start=cold"
	}
	if phase != machine.Running {
		return d.process.tellIfThere(ctx, path)
	}
	return d.process.tell(ctx, path)
}

// Delete implements compute.Driver.
func (d *Driver) Delete(ctx context.Context, id string) error {
	if _, err := os.Stat(string(d.folder(id))); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := d.set(ctx, id, machine.Deleted, false); err != nil {
		return err
	}
	d.ended(id)
	return os.RemoveAll(string(d.folder(id)))
}

// State implements compute.Driver.
func (d *Driver) State(_ context.Context, id string) (compute.Phase, compute.Exit, error) {
	phase, err := d.folder(id).Phase()
	switch {
	case err != nil:
		return "", "", err
	case running(phase):
		return compute.Running, compute.ExitUnknown, nil
	case phase == machine.Created:
		return compute.Created, compute.ExitUnknown, nil
	case phase == machine.Stopped:
		return compute.Stopped, compute.ExitPowerOff, nil
	}
	return compute.Absent, compute.ExitUnknown, nil
}

func running(p machine.Phase) bool { return p == machine.Running || p == machine.Paused }

// Wait returns when the VM is stopped: by itself it never goes off.
func (d *Driver) Wait(ctx context.Context, id string) error {
	d.mu.Lock()
	stop, ok := d.stops[id]
	if !ok {
		stop = make(chan struct{})
		d.stops[id] = stop
	}
	d.mu.Unlock()
	phase, err := d.folder(id).Phase() // after the channel is there: no stop is missed
	if err != nil || !running(phase) {
		d.ended(id)
		return err
	}
	select {
	case <-stop:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d *Driver) ended(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if stop, ok := d.stops[id]; ok {
		close(stop)
		delete(d.stops, id)
	}
}

// Logs implements compute.Driver.
func (d *Driver) Logs(_ context.Context, id string, lines int) ([]string, error) {
	data, err := os.ReadFile(d.folder(id).Console())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	all := strings.Split(strings.TrimRight(string(data), "\n"), "\n")
	return all[max(0, len(all)-lines):], nil
}

// List implements compute.Driver.
func (d *Driver) List(context.Context) ([]string, error) { return machine.List(d.dir) }

// Run keeps the process alive while there are VMs that run, until ctx is done. The process stays.
func (d *Driver) Run(ctx context.Context) error {
	ids, err := machine.List(d.dir)
	if err != nil {
		return fmt.Errorf("hollow VMs: %w", err)
	}
	d.process.supervise(ctx, slices.ContainsFunc(ids, func(id string) bool {
		phase, err := d.folder(id).Phase()
		return err != nil || phase == machine.Running
	}))
	return nil
}

// Rules are the behaviors in force.
func (d *Driver) Rules() (machine.Rules, error) { return machine.LoadRules(d.dir) }

// SetRules puts other behaviors in force, for VMs that run as well.
func (d *Driver) SetRules(ctx context.Context, rules machine.Rules) error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	if err := machine.SaveRules(d.dir, rules); err != nil {
		return err
	}
	return d.process.tellIfThere(ctx, "/behavior")
}

// Teardown ends the process and removes all VMs.
func (d *Driver) Teardown(ctx context.Context) error {
	if err := d.process.end(ctx); err != nil {
		return err
	}
	return os.RemoveAll(d.dir)
}
