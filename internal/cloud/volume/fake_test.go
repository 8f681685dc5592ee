package volume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/store"
)

// machine is a host whose rules are those of a real one. It outlives services, as a host outlives daemons.
type machine struct {
	mu        sync.Mutex
	disks     map[string]int64 // sizes
	snapshots map[string]bool
	open      map[string]uint32 // minor numbers
	mounted   map[string]bool   // by volume
	stacked   map[string]bool
	instances map[string]*fakeInstance
	full      bool
	busy      bool // volumes change all the time
	next      int
	lookups   int // of instances

	// fail is asked before every call; what it returns is the call's failure.
	fail func(call string, n int) error
}

type fakeInstance struct {
	compute.Instance
	phase   compute.Phase
	paused  bool
	devices []compute.Device
}

func newMachine() *machine {
	return &machine{disks: map[string]int64{}, snapshots: map[string]bool{}, open: map[string]uint32{}, mounted: map[string]bool{},
		stacked: map[string]bool{}, instances: map[string]*fakeInstance{}}
}

func (m *machine) setFail(fail func(call string, n int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *machine) call(name string) error {
	m.next++
	if m.fail != nil {
		return m.fail(name, m.next)
	}
	return nil
}

func (m *machine) add(id, tenantID, zone string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.instances[id] = &fakeInstance{phase: compute.Running, Instance: compute.Instance{ID: id, TenantID: tenantID, Name: "vm", AvailabilityZone: zone,
		State: "running", Status: "completed", CreatedAt: store.Now(), UpdatedAt: store.Now()}}
}

// set changes the machine as something outside of the cloud would.
func (m *machine) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// off ends a VM: nothing is mounted any more, but what lies upon volumes stays.
func (m *machine) off(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.instances[id]
	i.phase, i.State, i.devices = compute.Stopped, "stopped", nil
	clear(m.mounted)
}

func (m *machine) devices(id string) (names []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.instances[id].devices {
		names = append(names, fmt.Sprintf("%s %s %d", d.Name, d.Serial, d.ReadIOPS))
	}
	return names
}

func (m *machine) find(_ context.Context, _ store.Queryer, ids ...string) (map[string]compute.Instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lookups++
	found := map[string]compute.Instance{}
	for _, id := range ids {
		if i := m.instances[id]; i != nil {
			found[id] = i.Instance
		}
	}
	return found, nil
}

type fakeDriver struct{ *machine }

func (d fakeDriver) Create(_ context.Context, id string, size int64, snapshotID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("create"); err != nil {
		return err
	}
	if d.full && snapshotID != "" {
		return ErrNoSpace
	}
	if snapshotID != "" && !d.snapshots[snapshotID] {
		return errors.New("create: no such snapshot")
	}
	if d.disks[id] == 0 {
		d.disks[id] = size
	}
	return nil
}

func (d fakeDriver) Resize(_ context.Context, id string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("resize"); err != nil {
		return err
	}
	d.disks[id] = max(size, d.disks[id])
	return nil
}

func (d fakeDriver) Delete(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("delete"); err != nil {
		return err
	}
	if _, open := d.open[id]; open {
		return errors.New("delete: it has a device")
	}
	delete(d.disks, id)
	return nil
}

func (d fakeDriver) Open(_ context.Context, id string) (uint32, uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("open"); err != nil {
		return 0, 0, err
	}
	if d.disks[id] == 0 {
		return 0, 0, errors.New("open: no such volume")
	}
	if _, open := d.open[id]; !open {
		d.open[id] = uint32(d.next)
	}
	return 7, d.open[id], nil
}

func (d fakeDriver) InUse(_ context.Context, id string) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mounted[id] || d.stacked[id], d.call("in-use")
}

func (d fakeDriver) Unstack(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("unstack"); err != nil {
		return err
	}
	delete(d.stacked, id)
	return nil
}

func (d fakeDriver) Close(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("close"); err != nil {
		return err
	}
	if d.mounted[id] || d.stacked[id] {
		return ErrInUse
	}
	for _, i := range d.instances {
		for _, device := range i.devices {
			if _, open := d.open[id]; open && device.Minor == d.open[id] {
				return errors.New("close: a VM still has the device")
			}
		}
	}
	delete(d.open, id)
	return nil
}

func (d fakeDriver) List(context.Context) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id := range d.open {
		ids = append(ids, id)
	}
	return ids, d.call("list")
}

func (d fakeDriver) Snapshot(_ context.Context, id, volumeID string, pause func() (func() error, error)) error {
	d.mu.Lock()
	err, full, busy, exists := d.call("snapshot"), d.full, d.busy, d.disks[volumeID] > 0
	d.mu.Unlock()
	switch {
	case err != nil:
		return err
	case !exists:
		return errors.New("snapshot: no such volume")
	case full:
		return ErrNoSpace
	case busy:
		resume, err := pause()
		if err != nil {
			return err
		}
		if err := resume(); err != nil {
			return err
		}
		return ErrBusy
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.snapshots[id] = true
	return nil
}

func (d fakeDriver) CopySnapshot(_ context.Context, id, sourceID string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.snapshots[sourceID] {
		return errors.New("copy: no such snapshot")
	}
	d.snapshots[id] = true
	return d.call("copy")
}

func (d fakeDriver) DeleteSnapshot(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.snapshots, id)
	return d.call("delete-snapshot")
}

func (d fakeDriver) Space(context.Context) (int64, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return 100 * gib, d.full, nil // 400 GiB may be promised
}

type fakeMachines struct{ *machine }

func (m fakeMachines) SetDevices(_ context.Context, id string, devices []compute.Device) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.call("set-devices"); err != nil {
		return err
	}
	i := m.instances[id]
	if i == nil || i.phase != compute.Running {
		return nil
	}
	for _, d := range devices {
		if !slices.Contains(valuesOf(m.open), d.Minor) {
			return errors.New("set devices: no such device")
		}
	}
	i.devices = devices
	return nil
}

func valuesOf(m map[string]uint32) (values []uint32) {
	for _, v := range m {
		values = append(values, v)
	}
	return values
}

func (m fakeMachines) State(_ context.Context, id string) (compute.Phase, compute.Exit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.instances[id]; i != nil {
		return i.phase, "", m.call("state")
	}
	return compute.Absent, "", m.call("state")
}

func (m fakeMachines) pause(id string, paused bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.instances[id]; i != nil {
		i.paused = paused
	}
	return m.call("pause")
}

func (m fakeMachines) Pause(_ context.Context, id string) error  { return m.pause(id, true) }
func (m fakeMachines) Resume(_ context.Context, id string) error { return m.pause(id, false) }
