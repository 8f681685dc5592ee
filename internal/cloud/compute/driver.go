package compute

import (
	"context"
	"database/sql"
	"net/netip"

	"magalu.cloud/mke/internal/cloud/store"
)

// VM is what a driver needs to know to make a machine.
type VM struct {
	ID          string // the instance's
	Hostname    string
	VCPUs       int
	RAMMB       int
	Image       Image
	Nameservers []string

	// What the VM would find out about itself while it boots, for a driver that boots none.
	Name        string
	Zone        string
	MachineType string
	DiskGB      int
	UserData    []byte
	Address     netip.Addr
	Gateway     netip.Addr // the router's address in its subnet
	Router      string     // network namespace of the VPC's router
}

// Phase is how far a VM is.
type Phase string

// The phases of a VM.
const (
	Absent  Phase = "absent"  // there is nothing, or only parts
	Created Phase = "created" // complete, never started
	Running Phase = "running"
	Stopped Phase = "stopped" // was running
)

// Exit is why a VM stopped, as far as it could tell.
type Exit string

// What a VM can have done.
const (
	ExitUnknown  Exit = "" // it was killed, or the host went down
	ExitPowerOff Exit = "poweroff"
	ExitReboot   Exit = "reboot"
)

// Driver makes machines. Every method may be called again after it failed or
// was interrupted anywhere, and then continues. A VM outlives the daemon.
type Driver interface {
	// Attach makes the VM's network namespace and returns its path; none when the driver's VMs have no ports on the wire.
	Attach(ctx context.Context, id string) (netns string, err error)
	// Create makes everything else of a VM that is Absent or Stopped.
	Create(ctx context.Context, vm VM) error
	// Start starts a Created VM.
	Start(ctx context.Context, id string) error
	// Stop shuts a VM down, paused or not, by force when it takes too long.
	Stop(ctx context.Context, id string) error
	// Pause stops all processes of a Running VM, which stays Running, until Resume.
	Pause(ctx context.Context, id string) error
	// Resume continues a VM that was paused.
	Resume(ctx context.Context, id string) error
	// Delete removes the VM and all of its data.
	Delete(ctx context.Context, id string) error
	// State tells how far the VM is. An error means: cannot tell.
	State(ctx context.Context, id string) (Phase, Exit, error)
	// Wait returns when a Running VM does not run any more.
	Wait(ctx context.Context, id string) error
	// Logs returns the last lines of the console and of cloud-init, oldest first.
	Logs(ctx context.Context, id string, lines int) ([]string, error)
	// List returns the ids of all VMs of which anything exists on the machine.
	List(ctx context.Context) ([]string, error)
}

// Device is a block device that a VM gets.
type Device struct {
	Name                string // such as vdb: it is /dev/vdb inside
	Serial              string // and /dev/disk/by-id/virtio-<serial>
	Major, Minor        uint32 // its number on the host
	ReadIOPS, WriteIOPS int    // limits per second
}

// Volumes is what compute needs of block storage.
type Volumes interface {
	// Claim attaches a volume of the tenant, by id or else by name, to an instance that is being created. Errors for the user are *httpapi.Error.
	Claim(ctx context.Context, tx *sql.Tx, i Instance, id, name string) (volumeID string, err error)
	// Wake has volumes that were claimed attached, after the transaction.
	Wake(ids ...string)
	// Plug gives a VM that was created, and not started yet, the devices of the instance's volumes.
	Plug(ctx context.Context, instanceID string) error
	// Unplug removes what a VM that does not run any more left upon them.
	Unplug(ctx context.Context, instanceID string) error
	// Release detaches the volumes of an instance whose VM is gone.
	Release(ctx context.Context, instanceID string) error
}

// Image is something a VM can start from.
type Image struct {
	ID      string
	Name    string // such as cloud-mke-node-v1.34.2
	Version string
	RootFS  string // folder with the root file system, never written to
	Store   string // folder with the container images that come with it
}

// Images knows the images there are. It is asked every time: new ones may be built meanwhile.
type Images interface {
	List(ctx context.Context) ([]Image, error)
}

// SSHKeys finds the public key that a tenant registered under a name; store.ErrNotFound when there is none.
type SSHKeys interface {
	PublicKey(ctx context.Context, q store.Queryer, tenantID, name string) (string, error)
}

// Network is what compute needs of the network service. Errors for the user are *httpapi.Error.
type Network interface {
	// CreatePort reserves a port with its addresses; nothing happens on the machine.
	CreatePort(ctx context.Context, tx *sql.Tx, req PortRequest) (portID string, err error)
	// ClaimPort makes an existing, free port of the tenant the instance's.
	ClaimPort(ctx context.Context, tx *sql.Tx, tenantID, portID, instanceID string) error
	// Port describes a port of the tenant; store.ErrNotFound when there is none.
	Port(ctx context.Context, tenantID, portID string) (Port, error)
	// Ports describes all ports of instances of the tenant, by instance and in the order of their interfaces.
	Ports(ctx context.Context, tenantID string, instanceIDs ...string) (map[string][]Port, error)
	// PlugPort connects the namespace to the port's subnet, as the interface that the port is.
	PlugPort(ctx context.Context, portID, netns string) error
	// InstancePorts returns the ports of an instance besides its primary one.
	InstancePorts(ctx context.Context, instanceID string) ([]InstancePort, error)
	// AddInstancePort makes a free port of the tenant an interface of the instance.
	AddInstancePort(ctx context.Context, tx *sql.Tx, tenantID, portID, instanceID string) error
	// RemoveInstancePort lets an interface that is not the primary one leave the instance; FreeInstancePort completes it.
	RemoveInstancePort(ctx context.Context, tx *sql.Tx, tenantID, portID, instanceID string) error
	// FreeInstancePort unplugs a port that is not primary and gives it back to the tenant.
	FreeInstancePort(ctx context.Context, portID string) error
	// DeletePort unplugs and deletes the port, and with deletePublicIP its public IP too.
	DeletePort(ctx context.Context, portID string, deletePublicIP bool) error
}

// PortRequest describes the port of a new instance.
type PortRequest struct {
	TenantID         string
	InstanceID       string
	Name             string
	VPCID, VPCName   string // the id wins over the name
	SubnetID         string // empty: the zone's
	AvailabilityZone string
	SecurityGroupIDs []string
	AssociateIP      bool // with a public IP of its own
	Unwired          bool // it will never be plugged
}

// InstancePort is a network interface of an instance that is not its primary one.
type InstancePort struct {
	ID      string
	Leaving bool // it is to be taken out
}

// Port is the network interface of an instance.
type Port struct {
	ID, Name       string
	VPCID, VPCName string
	SecurityGroups []string
	PrivateIPv4    string
	PublicIPv4     string // empty: none
	MAC            string
	Nameservers    []string
	Gateway        netip.Addr // the router's address in the subnet
	Router         string     // network namespace of the VPC's router
}
