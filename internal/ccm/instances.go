package ccm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	cloudprovider "k8s.io/cloud-provider"

	"magalu.cloud/mke/internal/mgc"
)

const (
	// listTTL is how old the list may be for what hardly ever changes: addresses, zone, machine type.
	listTTL = 30 * time.Second
	// missTTL is how old the list may be before a VM that is not in it makes it be read again: many Nodes that join together cost
	// one call.
	missTTL = time.Second

	// After an error nothing is asked for a while, twice as long each time.
	firstPause = time.Second
	lastPause  = 30 * time.Second
	// longestRest is granted to a cloud that asks for one.
	longestRest = time.Minute
)

// errNoneOfOurs: this is called by a cluster whose control plane is a VM of the cloud. If the cloud shows none, it is the wrong
// tenant's view, and says nothing about VMs.
var errNoneOfOurs = errors.New("the cloud shows no VM of this cluster at all: the API key may belong to another tenant")

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

	mu    sync.Mutex
	cloud compute
	at    time.Time // when the list was asked for
	list  []mgc.Instance

	failure error // of the last call, until resume
	pause   time.Duration
	resume  time.Time
}

// byID returns a VM of the cluster, as it was after asOf, or cloudprovider.InstanceNotFound if the cloud itself says that there
// is no such VM. A list alone is not enough to say so.
func (s *instances) byID(ctx context.Context, id string, asOf time.Time) (*mgc.Instance, error) {
	found, cloud, err := s.find(ctx, asOf, func(i *mgc.Instance) bool { return i.ID == id })
	if err != nil || found != nil {
		return found, err
	}
	i, err := cloud.GetInstance(ctx, id)
	switch {
	case mgc.IsNotFound(err):
		return nil, cloudprovider.InstanceNotFound
	case err != nil:
		return nil, s.failed(err)
	case i.State == mgc.InstanceDeleted:
		return nil, cloudprovider.InstanceNotFound
	case !i.HasLabel(s.label):
		return nil, fmt.Errorf("VM %s does not belong to this cluster", id)
	}
	return i, nil
}

// byName returns a VM of the cluster or cloudprovider.InstanceNotFound.
func (s *instances) byName(ctx context.Context, name string, asOf time.Time) (*mgc.Instance, error) {
	found, _, err := s.find(ctx, asOf, func(i *mgc.Instance) bool { return i.Name == name })
	if err == nil && found == nil {
		err = cloudprovider.InstanceNotFound
	}
	return found, err
}

// find looks in the list, and in a fresh one if the VM is not there. The lock makes concurrent callers share one call.
func (s *instances) find(ctx context.Context, asOf time.Time, match func(*mgc.Instance) bool) (*mgc.Instance, compute, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	miss := s.now().Add(-missTTL)
	for _, oldest := range []time.Time{asOf, miss} {
		if err := s.refresh(ctx, oldest); err != nil {
			return nil, nil, err
		}
		for n := range s.list {
			if match(&s.list[n]) {
				found := s.list[n]
				return &found, s.cloud, nil
			}
		}
	}
	if len(s.list) == 0 {
		return nil, nil, errNoneOfOurs
	}
	return nil, s.cloud, nil
}

// refresh reads the list again unless it was asked for after oldest.
func (s *instances) refresh(ctx context.Context, oldest time.Time) error {
	cloud, err := s.connect()
	if err != nil {
		return err
	}
	if cloud != s.cloud { // a new key: what the old one showed or suffered does not count
		s.cloud, s.at, s.list, s.failure, s.pause = cloud, time.Time{}, nil, nil, 0
	}
	if s.at.After(oldest) {
		return nil
	}
	now := s.now()
	if s.failure != nil && now.Before(s.resume) {
		return s.failure
	}
	list, err := cloud.ListInstances(ctx, mgc.ListInstancesOptions{Label: s.label})
	if err != nil {
		s.rest(err)
		return err
	}
	s.at, s.list, s.failure, s.pause = now, list[:0], nil, 0
	for _, i := range list {
		if i.State != mgc.InstanceDeleted {
			s.list = append(s.list, i)
		}
	}
	return nil
}

// failed remembers the error of a call made without the lock.
func (s *instances) failed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest(err)
	return err
}

// rest makes the coming calls fail at once, for as long as the cloud asked for or a growing time.
func (s *instances) rest(err error) {
	s.pause = min(max(2*s.pause, firstPause), lastPause)
	s.failure, s.resume = err, s.now().Add(max(s.pause, min(mgc.RetryAfter(err), longestRest)))
}
