package loadbalancer

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"magalu.cloud/mke/internal/mgc"
)

// machinesTTL is how old the list of VMs may be while it has all that are asked for; a network interface stays what it is. Only a list
// that was begun after the question may say that a VM is not there.
const machinesTTL = time.Minute

// errNoMachines: a cluster has nodes, so a list without any of them is not to be believed.
var errNoMachines = errors.New("the cloud shows none of the nodes' VMs")

// machines finds the network interfaces of Nodes. Only VMs that carry the cluster's label count, whatever a Node says of itself.
type machines struct {
	balancers *balancers // paces the calls
	label     string

	mu    sync.Mutex
	begun time.Time
	nics  map[string]string // by VM
}

// of returns the interfaces of the Nodes' VMs, without VMs that are gone or not ready yet: one call for any number of Nodes.
func (m *machines) of(ctx context.Context, nodes []*corev1.Node) ([]string, error) {
	var ids []string
	for _, n := range nodes {
		if id, ok := vmID(n); ok {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	asked := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.refresh(ctx, asked.Add(-machinesTTL)); err != nil {
		return nil, err
	}
	missing := func(id string) bool { return m.nics[id] == "" }
	if slices.ContainsFunc(ids, missing) {
		if err := m.refresh(ctx, asked); err != nil {
			return nil, err
		}
	}
	var out []string
	for _, id := range ids {
		if !missing(id) {
			out = append(out, m.nics[id])
		}
	}
	if len(out) == 0 {
		return nil, errNoMachines
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// refresh reads the list again if it was begun before notBefore.
func (m *machines) refresh(ctx context.Context, notBefore time.Time) error {
	if !m.begun.IsZero() && !m.begun.Before(notBefore) {
		return nil
	}
	begun := time.Now()
	return m.balancers.call(ctx, "list_instances", func(c *mgc.Client) error {
		all, err := c.Compute.ListInstances(ctx, mgc.ListInstancesOptions{Label: m.label})
		if err != nil {
			return err
		}
		m.begun, m.nics = begun, map[string]string{}
		for _, i := range all {
			if nic := i.PrimaryInterface(); nic != nil && i.State != mgc.InstanceDeleted {
				m.nics[i.ID] = nic.ID
			}
		}
		return nil
	})
}

// doubt has the list read again: the cloud has refused a change, perhaps because it names the interface of a VM that has gone.
func (m *machines) doubt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun = time.Time{}
}

// vmID of a Node; a new Node has none at first.
func vmID(node *corev1.Node) (string, bool) {
	rest, ok := strings.CutPrefix(node.Spec.ProviderID, "magalu://")
	_, id, found := strings.Cut(rest, "/")
	return id, ok && found && id != ""
}
