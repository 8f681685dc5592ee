package ccm

import (
	"slices"
	"strings"

	"magalu.cloud/mke/internal/mgc"
)

// vmState is what the cloud's view of a VM means for its Node.
type vmState int

const (
	vmRunning   vmState = iota // or in a state that proves nothing
	vmChanging                 // something is under way that ends its run, or a new one begins
	vmStopped                  // it does not run, and its next run begins with a boot
	vmSuspended                // it does not run, but may go on where it was: its volumes are still in use
	vmGone
)

// changes are the beginnings of the statuses that go with vmChanging.
var changes = []string{"starting", "stopping", "rebooting", "suspending", "resuming", "deleting"}

func judge(i *mgc.Instance) vmState {
	failed := strings.HasSuffix(i.Status, "_error")
	switch {
	case !failed && slices.ContainsFunc(changes, func(c string) bool { return strings.HasPrefix(i.Status, c) }):
		return vmChanging
	case i.State == mgc.InstanceStopped && (failed || i.Status == mgc.InstanceCompleted):
		return vmStopped
	case i.State == "suspended":
		return vmSuspended
	}
	return vmRunning
}
