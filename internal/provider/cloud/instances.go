package cloud

import (
	"context"
	"sync"
	"time"

	"magalu.cloud/mke/internal/mgc"
)

// instancesTTL is how old the shared list may be. It is a little less than the time between two looks at a settled machine, so
// that any number of machines costs one call per look.
const instancesTTL = SettledRecheck - 10*time.Second

// SettledRecheck is the time between two looks at a machine that runs.
const SettledRecheck = 2 * time.Minute

// Instances is a list of the tenant's instances, read once for all machines.
type Instances struct {
	compute *mgc.ComputeClient

	mu   sync.Mutex
	at   time.Time
	byID map[string]mgc.Instance
}

// Get returns an instance as the list last showed it, or asks the cloud about it if the list does not have it.
func (i *Instances) Get(ctx context.Context, id string) (*mgc.Instance, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.at) > instancesTTL {
		all, err := i.compute.ListInstances(ctx, mgc.ListInstancesOptions{})
		if err != nil {
			return nil, err
		}
		i.at, i.byID = time.Now(), make(map[string]mgc.Instance, len(all))
		for _, instance := range all {
			i.byID[instance.ID] = instance
		}
	}
	if instance, ok := i.byID[id]; ok {
		return &instance, nil
	}
	return i.compute.GetInstance(ctx, id)
}
