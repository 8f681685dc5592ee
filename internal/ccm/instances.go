package ccm

import (
	"context"
	"fmt"
	"sync"
	"time"

	cloudprovider "k8s.io/cloud-provider"

	"magalu.cloud/mke/internal/mgc"
)

const (
	// listTTL is how long the list answers for VMs that are in it.
	listTTL = 10 * time.Second
	// missTTL is how old the list may be before a VM that is not in it makes it be read again: many Nodes that join together cost
	// one call.
	missTTL = time.Second
)

// compute is what is needed of the cloud.
type compute interface {
	ListInstances(context.Context, mgc.ListInstancesOptions) ([]mgc.Instance, error)
	GetInstance(context.Context, string) (*mgc.Instance, error)
}

// instances reads the cluster's VMs once for many Nodes.
type instances struct {
	// connect returns the cloud with the credentials of the moment.
	connect func() (compute, error)
	// label that the cluster's VMs carry.
	label string
	now   func() time.Time

	mu   sync.Mutex
	at   time.Time
	list []mgc.Instance
}

// byID returns a VM of the cluster or cloudprovider.InstanceNotFound. A list alone is not enough to say that a VM is gone.
func (s *instances) byID(ctx context.Context, id string) (*mgc.Instance, error) {
	found, cloud, err := s.find(ctx, func(i mgc.Instance) bool { return i.ID == id })
	if err != nil || found != nil {
		return found, err
	}
	i, err := cloud.GetInstance(ctx, id)
	switch {
	case mgc.IsNotFound(err):
		return nil, cloudprovider.InstanceNotFound
	case err != nil:
		return nil, err
	case i.State == mgc.InstanceDeleted:
		return nil, cloudprovider.InstanceNotFound
	case !i.HasLabel(s.label):
		return nil, fmt.Errorf("VM %s does not belong to this cluster", id)
	}
	return i, nil
}

// byName returns a VM of the cluster or cloudprovider.InstanceNotFound.
func (s *instances) byName(ctx context.Context, name string) (*mgc.Instance, error) {
	found, _, err := s.find(ctx, func(i mgc.Instance) bool { return i.Name == name })
	if err == nil && found == nil {
		err = cloudprovider.InstanceNotFound
	}
	return found, err
}

// find looks in the list, and in a fresh one if the VM is not there. The lock makes concurrent callers share one call.
func (s *instances) find(ctx context.Context, match func(mgc.Instance) bool) (*mgc.Instance, compute, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cloud, err := s.connect()
	if err != nil {
		return nil, nil, err
	}
	for _, ttl := range []time.Duration{listTTL, missTTL} {
		if s.now().Sub(s.at) >= ttl {
			list, err := cloud.ListInstances(ctx, mgc.ListInstancesOptions{Label: s.label})
			if err != nil {
				return nil, nil, err
			}
			s.list, s.at = list, s.now()
		}
		for n := range s.list {
			if match(s.list[n]) && s.list[n].State != mgc.InstanceDeleted {
				found := s.list[n]
				return &found, cloud, nil
			}
		}
	}
	return nil, cloud, nil
}
