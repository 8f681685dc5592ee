package mgctest

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/uuid"

	"magalu.cloud/mke/internal/mgc"
)

type instance struct {
	object
	mgc.Instance
	userData []byte
	portID   string
	deleting bool
}

func (i *instance) key() (id, name string) { return i.ID, i.Name }

// SetInstanceQuota limits the instances per tenant; more end in error. 0 is no limit.
func (c *Cloud) SetInstanceQuota(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.instanceQuota = n
}

// Instances returns all instances of Tenant in the order of their creation.
func (c *Cloud) Instances() []mgc.Instance {
	return look(c, c.instances, c.viewInstance)
}

// UserData returns what an instance was given.
func (c *Cloud) UserData(id string) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.instances[id]; i != nil {
		return i.userData
	}
	return nil
}

// SetInstance puts an instance into a state and status, as an operator of the cloud might.
func (c *Cloud) SetInstance(id, state, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.instances[id]; i != nil {
		i.State, i.Status, i.steps = state, status, 0
	}
}

// RemoveInstance makes an instance vanish behind everyone's back.
func (c *Cloud) RemoveInstance(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := c.instances[id]; i != nil {
		c.dropInstance(i)
	}
}

// AddInstance makes a running instance without a call, for tests that need only its existence.
func (c *Cloud) AddInstance(name, zone, machineType string, labels ...string) mgc.Instance {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ensureDefaultVPC(Tenant)
	var sn *subnet
	for _, s := range c.subnets {
		if s.tenant == Tenant && Region+"-"+s.Zone == zone {
			sn = s
		}
	}
	if sn == nil {
		panic("mgctest: no subnet in zone " + zone)
	}
	i := c.newInstance(Tenant, mgc.InstanceCreate{Name: name, Labels: labels, AvailabilityZone: zone}, sn, nil)
	i.MachineType, _ = c.machineType(mgc.Ref{Name: machineType})
	i.steps, i.State, i.Status = 0, mgc.InstanceRunning, mgc.InstanceCompleted
	return c.viewInstance(i)
}

func (c *Cloud) routeCompute() {
	c.handle("POST /compute/v1/instances", c.createInstance)
	c.handle("GET /compute/v1/instances", c.listInstances)
	c.handle("GET /compute/v1/instances/{id}", func(rq call) {
		c.withInstance(rq, func(i *instance) { rq.ok(http.StatusOK, expand(rq, c.viewInstance(i))) })
	})
	c.handle("DELETE /compute/v1/instances/{id}", func(rq call) { c.withInstance(rq, func(i *instance) { c.deleteInstance(rq, i) }) })
	for verb, state := range map[string]string{"start": mgc.InstanceRunning, "stop": mgc.InstanceStopped, "reboot": mgc.InstanceRunning} {
		c.handle("POST /compute/v1/instances/{id}/"+verb, func(rq call) {
			c.withInstance(rq, func(i *instance) {
				i.State = state
				rq.ok(http.StatusNoContent, nil)
			})
		})
	}
	c.handle("GET /compute/v1/machine-types", func(rq call) { paginate(rq, "machine_types", 200, c.machineTypes) })
	c.handle("GET /compute/v1/images", func(rq call) { paginate(rq, "images", 50, c.images) })
}

func (c *Cloud) withInstance(rq call, f func(*instance)) {
	with(rq, c.instances, func() { rq.notFound("instance") }, f)
}

func (c *Cloud) createInstance(rq call) {
	var in mgc.InstanceCreate
	if !rq.decode(&in) {
		return
	}
	mt, ok := c.machineType(in.MachineType)
	if !ok {
		rq.notFound("machine type")
		return
	}
	if !slices.ContainsFunc(c.images, func(i mgc.Image) bool { return i.ID == in.Image.ID || i.Name == in.Image.Name }) {
		rq.notFound("image")
		return
	}
	sn, groups, problem := c.placement(rq.tenant, in)
	if problem != "" {
		rq.fail(http.StatusBadRequest, "invalid_network", problem)
		return
	}
	over := c.instanceQuota > 0 && len(inOrder(c.instances, rq.tenant)) >= c.instanceQuota
	i := c.newInstance(rq.tenant, in, sn, groups)
	i.MachineType, i.Image = mt, in.Image
	if over {
		i.Status = "creating_error_quota_instance"
		i.Error = &mgc.InstanceFault{Slug: "quota_exceeded", Message: "instance quota exceeded"}
	}
	rq.ok(http.StatusCreated, map[string]string{"id": i.ID})
}

func (c *Cloud) newInstance(tenant string, in mgc.InstanceCreate, sn *subnet, groups []string) *instance {
	i := &instance{object: c.newObject(tenant), userData: in.UserData}
	i.Instance = mgc.Instance{ID: uuid.NewString(), Name: in.Name, Labels: in.Labels, State: mgc.InstanceNew,
		Status: "creating", AvailabilityZone: Region + "-" + sn.Zone}
	p := c.newPort(tenant, in.Name, sn, groups)
	i.portID = p.ID
	c.instances[i.ID] = i
	c.start(&i.object, func() {
		if strings.HasPrefix(i.Status, "creating_error") {
			i.State = mgc.InstanceError
			return
		}
		i.State, i.Status = mgc.InstanceRunning, mgc.InstanceCompleted
	})
	return i
}

// placement checks what the request says about the network.
func (c *Cloud) placement(tenant string, in mgc.InstanceCreate) (*subnet, []string, string) {
	nic := in.Network.Interface
	if nic == nil || len(nic.Subnets) != 1 {
		return nil, nil, "exactly one subnet is needed"
	}
	sn := c.subnets[nic.Subnets[0].ID]
	if sn == nil || sn.tenant != tenant {
		return nil, nil, "subnet not found"
	}
	if Region+"-"+sn.Zone != in.AvailabilityZone {
		return nil, nil, "the subnet is in another availability zone"
	}
	if in.Network.VPC != nil && in.Network.VPC.ID != sn.VPCID {
		return nil, nil, "the subnet is in another VPC"
	}
	var groups []string
	for _, ref := range nic.SecurityGroups {
		if g := c.groups[ref.ID]; g == nil || g.tenant != tenant {
			return nil, nil, "security group not found"
		}
		groups = append(groups, ref.ID)
	}
	return sn, groups, ""
}

func (c *Cloud) machineType(ref mgc.Ref) (mgc.MachineType, bool) {
	for _, mt := range c.machineTypes {
		if mt.ID == ref.ID || (ref.ID == "" && mt.Name == ref.Name) {
			return mt, true
		}
	}
	return mgc.MachineType{}, false
}

func (c *Cloud) listInstances(rq call) {
	list(rq, "instances", 50, c.instances, rq.URL.Query().Get("name"), func(i *instance) mgc.Instance { return expand(rq, c.viewInstance(i)) })
}

func (c *Cloud) deleteInstance(rq call, i *instance) {
	if i.deleting {
		rq.fail(http.StatusConflict, "conflict", "the instance is being deleted")
		return
	}
	i.deleting, i.Status = true, "deleting"
	c.start(&i.object, func() { c.dropInstance(i) })
	rq.ok(http.StatusNoContent, nil)
}

func (c *Cloud) dropInstance(i *instance) {
	c.detachAll(i.ID)
	delete(c.ports, i.portID)
	delete(c.instances, i.ID)
}

// viewInstance shows the network interface only once the first step is done, as a cloud that builds it asynchronously.
func (c *Cloud) viewInstance(i *instance) mgc.Instance {
	out := i.Instance
	if p := c.ports[i.portID]; p != nil && (i.steps < c.Steps || i.State != mgc.InstanceNew) {
		nic := mgc.InstanceInterface{ID: p.ID, Name: p.Name, Primary: true, SecurityGroups: p.SecurityGroups}
		nic.IPAddresses.PrivateIPv4 = p.IPAddress[0].IPAddress
		out.Network = mgc.InstanceNetwork{VPC: mgc.Ref{ID: p.VPCID}, Interfaces: []mgc.InstanceInterface{nic}}
	}
	return out
}

// expand leaves out what the request did not ask for.
func expand(rq call, i mgc.Instance) mgc.Instance {
	wanted := strings.Split(rq.URL.Query().Get("expand"), ",")
	if !slices.Contains(wanted, "network") {
		i.Network = mgc.InstanceNetwork{}
	}
	if !slices.Contains(wanted, "labels") {
		i.Labels = nil
	}
	if !slices.Contains(wanted, "machine-type") {
		i.MachineType = mgc.MachineType{ID: i.MachineType.ID}
	}
	return i
}

func (c *Cloud) allocate(cidr string) string {
	prefix := netip.MustParsePrefix(cidr)
	c.nextIP[cidr]++
	b := prefix.Addr().As4()
	n := c.nextIP[cidr] + 9
	return fmt.Sprintf("%d.%d.%d.%d", b[0], b[1], int(b[2])+n/256, n%256)
}
