package cloud

import (
	"context"
	"sync"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

// InstancesTTL is how old the shared list may be. It is a little less than the time between two looks at a settled machine, so
// that any number of machines costs one call per look.
const InstancesTTL = SettledRecheck - 10*time.Second

// SettledRecheck is the time between two looks at a machine that runs.
const SettledRecheck = 2 * time.Minute

// Instances is a list of the tenant's instances, read once for all machines.
type Instances struct {
	compute *mgc.ComputeClient

	mu   sync.Mutex
	at   time.Time
	byID map[string]mgc.Instance
}

// NotOlder is the age of the list for machines in trouble, of which there may be many at the same time.
const NotOlder = time.Second

// Get returns an instance as the list showed it at most maxAge ago, or asks the cloud about it if the list does not have it. A list
// without any instance of the cluster proves nothing about this one: it may be another tenant's.
func (i *Instances) Get(ctx context.Context, id, clusterID string, maxAge time.Duration) (*mgc.Instance, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.at) > maxAge {
		if err := i.read(ctx); err != nil {
			return nil, err
		}
	}
	if instance, ok := i.byID[id]; ok {
		return &instance, nil
	}
	for _, other := range i.byID {
		if other.HasLabel(Mark(clusterID)) && other.State != mgc.InstanceDeleted {
			return i.compute.GetInstance(ctx, id)
		}
	}
	return nil, &CredentialsError{"the cloud shows no VM of this cluster at all: the API key may belong to another tenant"}
}

func (i *Instances) read(ctx context.Context) error {
	at := time.Now()
	all, err := i.compute.ListInstances(ctx, mgc.ListInstancesOptions{})
	if err != nil {
		return err
	}
	i.at, i.byID = at, make(map[string]mgc.Instance, len(all))
	for _, instance := range all {
		i.byID[instance.ID] = instance
	}
	return nil
}
