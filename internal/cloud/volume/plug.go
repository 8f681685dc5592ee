package volume

import (
	"context"
	"fmt"
	"sync"

	"magalu.cloud/mke/internal/cloud/compute"
	"magalu.cloud/mke/internal/cloud/store"
)

// serialLength is how much of a volume's id its serial number has, as with virtio disks.
const serialLength = 20

// Plug gives an instance's VM the devices of the volumes that the rows say, and
// no others. Compute calls it before it starts a VM.
func (s *Service) Plug(ctx context.Context, instanceID string) error {
	lock := s.instanceLock(instanceID)
	lock.Lock() // rows are read by one at a time, or an older list could win
	defer lock.Unlock()
	volumes, err := queryVolumes(ctx, s.db, `WHERE instance_id = ? AND status <> 'detaching' ORDER BY device`, instanceID)
	if err != nil {
		return err
	}
	var devices []compute.Device
	for _, v := range volumes {
		major, minor, err := s.Driver.Open(ctx, v.ID)
		if err != nil {
			return fmt.Errorf("open volume %s: %w", v.ID, err)
		}
		t, _ := findType(ref{ID: v.TypeID})
		devices = append(devices, compute.Device{Name: v.Device, Serial: v.ID[:serialLength], Major: major, Minor: minor,
			ReadIOPS: t.IOPS.Read, WriteIOPS: t.IOPS.Write})
	}
	return s.Machines.SetDevices(ctx, instanceID, devices)
}

func (s *Service) instanceLock(id string) *sync.Mutex {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plugged[id] == nil {
		s.plugged[id] = &sync.Mutex{}
	}
	return s.plugged[id]
}

// Unplug removes what the VM of an instance left upon its volumes. Compute calls it when the VM does not run.
func (s *Service) Unplug(ctx context.Context, instanceID string) error {
	volumes, err := queryVolumes(ctx, s.db, `WHERE instance_id = ?`, instanceID)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		if err := s.Driver.Unstack(ctx, v.ID); err != nil {
			return fmt.Errorf("volume %s: %w", v.ID, err)
		}
	}
	return nil
}

// Release detaches the volumes of an instance whose VM is gone. Compute calls it before it forgets the instance.
func (s *Service) Release(ctx context.Context, instanceID string) error {
	if _, err := s.db.Exec(ctx, `UPDATE volume_volumes SET status = 'detaching_pending', updated_at = ?
		WHERE instance_id = ? AND status IN ('completed', 'attaching_pending', 'attaching', 'detaching_error', 'extend_error', 'retype_error')`,
		store.Now(), instanceID); err != nil {
		return err
	}
	volumes, err := queryVolumes(ctx, s.db, `WHERE instance_id = ?`, instanceID)
	if err != nil {
		return err
	}
	for _, v := range volumes {
		s.pool.Wake(v.ID)
		if v.Status != statusDetachingPending && v.Status != statusDetaching {
			return fmt.Errorf("volume %s cannot be detached yet: its status is %s", v.ID, v.Status)
		}
	}
	return nil
}
