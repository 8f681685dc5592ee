package compute

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"magalu.cloud/mke/internal/cloud/daemontest"
	"magalu.cloud/mke/internal/cloud/httpapi"
	"magalu.cloud/mke/internal/cloud/store"
)

// machine is a host whose rules are those of a real one. It outlives services,
// as a host outlives daemons.
type machine struct {
	mu    sync.Mutex
	vms   map[string]*fakeVM
	ports map[string]PortRequest
	calls []string // what changed something, in order
	next  int

	further map[string]furtherPort // ports that are not primary, of instances

	claimed string // the instance that has the one volume
	woken   int

	// fail is asked before every call; what it returns is the call's failure.
	fail func(call string, n int) error
}

type furtherPort struct {
	instance         string
	leaving, plugged bool
}

type fakeVM struct {
	attached, plugged bool
	paused            bool
	vcpus             int
	phase             Phase
	exit              Exit
	ended             chan struct{}
}

func newMachine() *machine {
	return &machine{vms: map[string]*fakeVM{}, ports: map[string]PortRequest{}, further: map[string]furtherPort{}}
}

func (m *machine) call(name string) error {
	m.next++
	if m.fail != nil {
		if err := m.fail(name, m.next); err != nil {
			return err
		}
	}
	m.calls = append(m.calls, name)
	return nil
}

func (m *machine) vm(id string) *fakeVM {
	if m.vms[id] == nil {
		m.vms[id] = &fakeVM{phase: Absent}
	}
	return m.vms[id]
}

func (v *fakeVM) off(exit Exit) {
	if v.phase == Running {
		v.phase, v.exit, v.paused = Stopped, exit, false
		close(v.ended)
	}
}

// setFail sets what is asked before every call.
func (m *machine) setFail(fail func(call string, n int) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = fail
}

func (m *machine) sizes() (vms, ports int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.vms), len(m.ports)
}

// end is what happens to a VM without the cloud doing anything.
func (m *machine) end(id string, exit Exit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vm(id).off(exit)
}

func (m *machine) count(name string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, call := range m.calls {
		if call == name {
			n++
		}
	}
	return n
}

type fakeDriver struct{ *machine }

func (d fakeDriver) Attach(_ context.Context, id string) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("attach"); err != nil {
		return "", err
	}
	d.vm(id).attached = true
	return "/netns/" + id, nil
}

func (d fakeDriver) Create(_ context.Context, vm VM) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.vm(vm.ID)
	if !v.attached || !v.plugged {
		return errors.New("create: the network must be there before")
	}
	if err := d.call("create"); err != nil {
		return err
	}
	if v.phase == Absent || v.phase == Stopped {
		v.phase, v.exit, v.vcpus = Created, ExitUnknown, vm.VCPUs
	}
	return nil
}

func (d fakeDriver) Start(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.vm(id)
	if v.phase == Running {
		return nil
	}
	if v.phase != Created {
		return fmt.Errorf("start: the VM is %s", v.phase)
	}
	if err := d.call("start"); err != nil {
		return err
	}
	v.phase, v.ended = Running, make(chan struct{})
	return nil
}

func (d fakeDriver) Stop(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("stop"); err != nil {
		return err
	}
	v := d.vm(id)
	v.off(ExitPowerOff)
	if v.phase == Created {
		v.phase = Absent
	}
	return nil
}

func (d fakeDriver) Pause(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	v := d.vm(id)
	if v.phase != Running {
		return fmt.Errorf("pause: the VM is %s", v.phase)
	}
	if err := d.call("pause"); err != nil {
		return err
	}
	v.paused = true
	return nil
}

func (d fakeDriver) Resume(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("resume"); err != nil {
		return err
	}
	d.vm(id).paused = false
	return nil
}

func (d fakeDriver) Delete(_ context.Context, id string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("delete"); err != nil {
		return err
	}
	d.vm(id).off(ExitUnknown)
	delete(d.vms, id)
	return nil
}

func (d fakeDriver) State(_ context.Context, id string) (Phase, Exit, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.call("state"); err != nil {
		return "", "", err
	}
	if v := d.vms[id]; v != nil {
		return v.phase, v.exit, nil
	}
	return Absent, ExitUnknown, nil
}

func (d fakeDriver) Wait(ctx context.Context, id string) error {
	d.mu.Lock()
	v := d.vms[id]
	if v == nil || v.phase != Running {
		d.mu.Unlock()
		return nil
	}
	ended := v.ended
	d.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (d fakeDriver) Logs(context.Context, string, int) ([]string, error) {
	return []string{"Cloud-init v. 22 running"}, nil
}

func (d fakeDriver) List(context.Context) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id := range d.vms {
		ids = append(ids, id)
	}
	return ids, nil
}

// fakeHollow is a driver whose VMs need no port on the wire.
type fakeHollow struct{ fakeDriver }

func (d fakeHollow) Attach(ctx context.Context, id string) (string, error) {
	_, err := d.fakeDriver.Attach(ctx, id)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vm(id).plugged = true
	return "", err
}

type fakeNetwork struct{ *machine }

const (
	vpcID   = "0a000000-0000-4000-8000-000000000001"
	groupID = "0b000000-0000-4000-8000-000000000001"
)

func (n fakeNetwork) CreatePort(_ context.Context, tx *sql.Tx, req PortRequest) (string, error) {
	if tx == nil {
		return "", errors.New("ports of instances are made together with their row")
	}
	if req.VPCID != "" && req.VPCID != vpcID {
		return "", httpapi.NotFound("VPC")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	id := fmt.Sprintf("0c000000-0000-4000-8000-%012d", len(n.ports)+1+n.next*1000)
	n.ports[id] = req
	return id, nil
}

func (n fakeNetwork) ClaimPort(_ context.Context, _ *sql.Tx, tenantID, id, instanceID string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	port, ok := n.ports[id]
	if !ok || port.TenantID != tenantID {
		return httpapi.NotFound("port")
	}
	port.InstanceID = instanceID
	n.ports[id] = port
	return nil
}

func (n fakeNetwork) Port(_ context.Context, tenantID, id string) (Port, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	req, ok := n.ports[id]
	if !ok || req.TenantID != tenantID {
		return Port{}, store.ErrNotFound
	}
	port := Port{ID: id, Name: req.Name, VPCID: vpcID, VPCName: "vpc_default", SecurityGroups: []string{groupID}, PrivateIPv4: "172.26.0.2"}
	if req.AssociateIP {
		port.PublicIPv4 = "198.18.0.9"
	}
	return port, nil
}

func (n fakeNetwork) Ports(ctx context.Context, tenantID string, instanceIDs ...string) (map[string][]Port, error) {
	n.mu.Lock()
	of := map[string]string{}
	for id, port := range n.ports {
		of[id] = port.InstanceID
	}
	for id, further := range n.further {
		of[id] = further.instance
	}
	n.mu.Unlock()
	all := map[string][]Port{}
	for _, id := range slices.Sorted(maps.Keys(of)) {
		if !slices.Contains(instanceIDs, of[id]) {
			continue
		}
		port, err := n.Port(ctx, tenantID, id)
		if err != nil {
			return nil, err
		}
		all[of[id]] = append(all[of[id]], port)
	}
	return all, nil
}

func (n fakeNetwork) InstancePorts(_ context.Context, instanceID string) (ports []InstancePort, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(n.further)) {
		if n.further[id].instance == instanceID {
			ports = append(ports, InstancePort{ID: id, Leaving: n.further[id].leaving})
		}
	}
	return ports, nil
}

func (n fakeNetwork) AddInstancePort(_ context.Context, tx *sql.Tx, tenantID, id, instanceID string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	port, ok := n.ports[id]
	switch {
	case tx == nil:
		return errors.New("interfaces change together with the instance's status")
	case !ok || port.TenantID != tenantID:
		return httpapi.NotFound("port")
	case port.InstanceID != "" || n.further[id].instance != "":
		return httpapi.Conflict("the port is in use")
	}
	n.further[id] = furtherPort{instance: instanceID}
	return nil
}

func (n fakeNetwork) RemoveInstancePort(_ context.Context, _ *sql.Tx, _, id, instanceID string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.further[id].instance != instanceID {
		return httpapi.Conflict("the port is not a network interface of the instance")
	}
	n.further[id] = furtherPort{instance: instanceID, leaving: true, plugged: n.further[id].plugged}
	return nil
}

func (n fakeNetwork) FreeInstancePort(_ context.Context, id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.call("free-port"); err != nil {
		return err
	}
	delete(n.further, id)
	return nil
}

func (n fakeNetwork) PlugPort(_ context.Context, id, netns string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	req, ok := n.ports[id]
	if !ok {
		return errors.New("plug: no such port")
	}
	if err := n.call("plug"); err != nil {
		return err
	}
	if further, ok := n.further[id]; ok {
		if netns != "/netns/"+further.instance {
			return errors.New("plug: the wrong namespace")
		}
		further.plugged = true
		n.further[id] = further
		return nil
	}
	if netns != "/netns/"+req.InstanceID {
		return errors.New("plug: the wrong namespace")
	}
	n.vm(req.InstanceID).plugged = true
	return nil
}

func (n fakeNetwork) DeletePort(_ context.Context, id string, _ bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.call("delete-port"); err != nil {
		return err
	}
	delete(n.ports, id)
	return nil
}

const volumeID = "0d000000-0000-4000-8000-000000000001"

func (v fakeVolumes) Claim(_ context.Context, tx *sql.Tx, i Instance, id, name string) (string, error) {
	if tx == nil {
		return "", errors.New("volumes of instances are claimed together with their row")
	}
	if i.TenantID != daemontest.Tenant || (id != volumeID && (id != "" || name != "data")) {
		return "", httpapi.NotFound("volume")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.claimed != "" {
		return "", httpapi.Conflict("the volume cannot be attached: its state is in-use")
	}
	v.claimed = i.ID
	return volumeID, nil
}

func (v fakeVolumes) Wake(ids ...string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.woken += len(ids)
}

// fakeVolumes sees that volumes are plugged before a VM starts and released when it is gone.
type fakeVolumes struct{ *machine }

func (v fakeVolumes) Plug(_ context.Context, id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if phase := v.vm(id).phase; phase != Created {
		return fmt.Errorf("plug volumes: the VM is %s", phase)
	}
	return v.call("plug-volumes")
}

func (v fakeVolumes) Unplug(_ context.Context, id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if vm := v.vms[id]; vm != nil && vm.phase == Running {
		return errors.New("unplug volumes: the VM runs")
	}
	return v.call("unplug-volumes")
}

func (v fakeVolumes) Release(_ context.Context, id string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.vms[id] != nil {
		return errors.New("release volumes: the VM still exists")
	}
	return v.call("release-volumes")
}

type fakeImages struct{}

func (fakeImages) List(context.Context) ([]Image, error) {
	return []Image{{ID: ImageID("img"), Name: "img", Version: "v1", RootFS: "/img", Store: "/store"},
		{ID: ImageID("another"), Name: "another", Version: "v2", RootFS: "/another", Store: "/store"}}, nil
}

type fakeKeys struct{}

func (fakeKeys) PublicKey(_ context.Context, _ store.Queryer, _, name string) (string, error) {
	if name != "mine" {
		return "", store.ErrNotFound
	}
	return "ssh-ed25519 AAAA", nil
}
