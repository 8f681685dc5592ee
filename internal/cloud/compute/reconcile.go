package compute

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"magalu.cloud/mke/internal/cloud/store"
	"magalu.cloud/mke/internal/cloud/worker"
)

// Run makes VMs what the rows say until ctx is done. What was begun by an
// earlier run is continued; VMs without a row are removed first.
func (s *Service) Run(ctx context.Context) error {
	if err := s.takeUp(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	s.pool.Run(ctx)
	s.watchers.Wait()
	return nil
}

// takeUp removes what nobody owns and queues all instances: each one is compared
// with the machine.
func (s *Service) takeUp(ctx context.Context) error {
	if err := s.removeStrays(ctx); err != nil {
		return err
	}
	instances, err := queryInstances(ctx, s.db, `ORDER BY created_at`)
	if err != nil {
		return fmt.Errorf("read instances: %w", err)
	}
	for _, i := range instances {
		s.pool.Add(i.ID)
	}
	return nil
}

// removeStrays removes what the drivers have without a row.
func (s *Service) removeStrays(ctx context.Context) error {
	for _, driver := range []Driver{s.Driver, s.Hollow} {
		if err := s.removeStraysOf(ctx, driver); err != nil {
			return err
		}
	}
	return nil
}

// removeStraysOf looks at the machine first and at the rows then, so that no new instance can look stray.
func (s *Service) removeStraysOf(ctx context.Context, driver Driver) error {
	ids, err := driver.List(ctx)
	if err != nil {
		return fmt.Errorf("list virtual machines: %w", err)
	}
	for _, id := range ids {
		_, err := Find(ctx, s.db, id)
		switch {
		case errors.Is(err, store.ErrNotFound):
			s.Logger.Info("removing a virtual machine that nobody owns", "instance", id)
			if err := driver.Delete(ctx, id); err != nil {
				s.Logger.Error("a virtual machine that nobody owns could not be removed", "instance", id, "error", err)
			}
		case err != nil:
			return fmt.Errorf("read instances: %w", err)
		}
	}
	return nil
}

func (s *Service) reconcile(ctx context.Context, id string) error {
	i, err := Find(ctx, s.db, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	switch i.Desired {
	case desiredRunning:
		return s.ensureRunning(ctx, i)
	case desiredStopped:
		return s.ensureStopped(ctx, i)
	case desiredSuspended:
		return s.ensureSuspended(ctx, i)
	case desiredDeleted:
		return s.ensureDeleted(ctx, i)
	default: // failed: the user decides
		return nil
	}
}

func (s *Service) ensureRunning(ctx context.Context, i Instance) error {
	phase, exit, err := s.driver(i).State(ctx, i.ID)
	if err != nil {
		return err
	}
	switch {
	case i.Reboot == "stop":
		next := "rebooting"
		if strings.HasPrefix(i.Status, "retyping") {
			next = "retyping"
		}
		if err := s.setStatus(ctx, i, next); err != nil {
			return err
		}
		if err := s.driver(i).Stop(ctx, i.ID); err != nil {
			return fmt.Errorf("stop for reboot: %w", err)
		}
		// From here on it must not be stopped again, whoever dies.
		if _, err := s.db.Exec(ctx, `UPDATE compute_instances SET reboot = 'start' WHERE id = ? AND reboot = 'stop'`, i.ID); err != nil {
			return err
		}
	case phase == Running:
		if i.State == stateSuspended || i.Status == "suspending_error" { // it may be paused
			if err := s.driver(i).Resume(ctx, i.ID); err != nil {
				return fmt.Errorf("resume: %w", err)
			}
		}
		if strings.HasSuffix(i.Status, "_nic_pending") { // completed when it is connected
			if err := s.connect(ctx, i); err != nil {
				return err
			}
			return s.recordRunning(ctx, i)
		}
		if err := s.recordRunning(ctx, i); err != nil {
			return err
		}
		if err := s.connect(ctx, i); err != nil {
			return fmt.Errorf("%w: %w", worker.ErrKeepTrying, err)
		}
		return nil
	case phase == Stopped && i.State == stateRunning && i.Reboot == "" && (exit == ExitPowerOff || exit == ExitUnknown && s.watching(i.ID)):
		// It was switched off from inside while nobody watched, or broke just now.
		return s.recordOff(ctx, i.ID, exit)
	case i.Status == "provisioning":
		err = s.setStatus(ctx, i, "creating")
	case i.Status == "starting_pending":
		err = s.setStatus(ctx, i, "starting")
	}
	if err != nil {
		return err
	}
	if err := s.boot(ctx, i); err != nil {
		return err
	}
	return s.recordRunning(ctx, i)
}

// boot takes a VM that does not run through all phases; each of them is skipped
// by the driver or the network where it was done before.
func (s *Service) boot(ctx context.Context, i Instance) error {
	begin := time.Now()
	vm, err := s.describe(ctx, i)
	if err != nil {
		return err
	}
	if err := s.connect(ctx, i); err != nil {
		return err
	}
	plugged := time.Now()
	if err := s.driver(i).Create(ctx, vm); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := s.plugVolumes(ctx, i); err != nil {
		return fmt.Errorf("volumes: %w", err)
	}
	created := time.Now()
	if err := s.driver(i).Start(ctx, i.ID); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	s.Logger.Info("instance: booted", "instance", i.ID, "plug_ms", plugged.Sub(begin).Milliseconds(),
		"create_ms", created.Sub(plugged).Milliseconds(), "start_ms", time.Since(created).Milliseconds())
	return nil
}

func (s *Service) plugVolumes(ctx context.Context, i Instance) error {
	if i.Hollow() {
		return nil
	}
	if err := s.Volumes.Unplug(ctx, i.ID); err != nil {
		return err
	}
	return s.Volumes.Plug(ctx, i.ID)
}

// connect makes sure that the VM is on its network; what is right is left alone.
func (s *Service) connect(ctx context.Context, i Instance) error {
	netns, err := s.driver(i).Attach(ctx, i.ID)
	if err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	if netns != "" {
		if err := s.Network.PlugPort(ctx, i.PortID, netns); err != nil {
			return fmt.Errorf("plug port: %w", err)
		}
	}
	if err := s.connectInterfaces(ctx, i, netns); err != nil {
		return fmt.Errorf("network interfaces: %w", err)
	}
	return nil
}

func (s *Service) describe(ctx context.Context, i Instance) (VM, error) {
	machineType, ok := findMachineType(s.types, ref{ID: i.MachineTypeID})
	if !ok {
		return VM{}, fmt.Errorf("machine type %s does not exist any more", i.MachineTypeID)
	}
	images, err := s.Images.List(ctx)
	if err != nil {
		return VM{}, fmt.Errorf("images: %w", err)
	}
	image, ok := findImage(images, ref{ID: i.ImageID})
	if !ok {
		return VM{}, fmt.Errorf("image %s does not exist any more", i.ImageName)
	}
	port, err := s.Network.Port(ctx, i.TenantID, i.PortID)
	if err != nil {
		return VM{}, fmt.Errorf("port %s: %w", i.PortID, err)
	}
	address, err := netip.ParseAddr(port.PrivateIPv4)
	if err != nil {
		return VM{}, fmt.Errorf("port %s: address: %w", i.PortID, err)
	}
	userData, err := base64.StdEncoding.DecodeString(i.UserData)
	if err != nil {
		return VM{}, fmt.Errorf("user data: %w", err)
	}
	return VM{
		ID: i.ID, Hostname: i.Hostname, VCPUs: machineType.VCPUs, RAMMB: machineType.RAM, Image: image, Nameservers: port.Nameservers,
		Name: i.Name, Zone: i.AvailabilityZone, MachineType: machineType.Name, DiskGB: machineType.Disk, UserData: userData,
		Address: address, Gateway: port.Gateway, Router: port.Router,
	}, nil
}

func (s *Service) ensureStopped(ctx context.Context, i Instance) error {
	if i.Status == "stopping_pending" {
		if err := s.setStatus(ctx, i, "stopping"); err != nil {
			return err
		}
	}
	phase, _, err := s.driver(i).State(ctx, i.ID)
	if err != nil {
		return err
	}
	if phase == Running || phase == Created {
		if err := s.driver(i).Stop(ctx, i.ID); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
	}
	if err := s.Volumes.Unplug(ctx, i.ID); err != nil {
		return fmt.Errorf("%w: volumes: %w", worker.ErrKeepTrying, err)
	}
	if err := s.freeInterfaces(ctx, i, false); err != nil {
		return fmt.Errorf("%w: network interfaces: %w", worker.ErrKeepTrying, err)
	}
	return s.update(ctx, `UPDATE compute_instances SET state = 'stopped', status = 'completed', updated_at = ?
		WHERE id = ? AND desired = 'stopped' AND status IN ('stopping_pending', 'stopping')`, store.Now(), i.ID)
}

// ensureSuspended pauses a VM. What was in memory is lost with the host, or when the VM is killed: then it is stopped.
func (s *Service) ensureSuspended(ctx context.Context, i Instance) error {
	if i.Status == "suspending_pending" {
		if err := s.setStatus(ctx, i, "suspending"); err != nil {
			return err
		}
	}
	phase, _, err := s.driver(i).State(ctx, i.ID)
	if err != nil {
		return err
	}
	if phase != Running {
		s.pool.Add(i.ID) // to clean up as after every stop
		return s.update(ctx, `UPDATE compute_instances SET state = 'stopped', desired = 'stopped', status = 'completed', updated_at = ?
			WHERE id = ? AND desired = 'suspended'`, store.Now(), i.ID)
	}
	if err := s.driver(i).Pause(ctx, i.ID); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	if err := s.update(ctx, `UPDATE compute_instances SET state = 'suspended', status = 'completed', updated_at = ?
		WHERE id = ? AND desired = 'suspended' AND status IN ('suspending_pending', 'suspending')`, store.Now(), i.ID); err != nil {
		return err
	}
	s.watch(ctx, i)
	return nil
}

func (s *Service) ensureDeleted(ctx context.Context, i Instance) error {
	if i.Status == "deleting_pending" {
		if err := s.setStatus(ctx, i, "deleting"); err != nil {
			return err
		}
	}
	if err := s.driver(i).Delete(ctx, i.ID); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if err := s.Volumes.Release(ctx, i.ID); err != nil {
		return fmt.Errorf("volumes: %w", err)
	}
	if err := s.freeInterfaces(ctx, i, true); err != nil {
		return fmt.Errorf("network interfaces: %w", err)
	}
	if err := s.Network.DeletePort(ctx, i.PortID, i.DeletePublicIP); err != nil {
		return fmt.Errorf("delete port: %w", err)
	}
	_, err := s.db.Exec(ctx, `DELETE FROM compute_instances WHERE id = ? AND desired = 'deleted'`, i.ID)
	return err
}

// setStatus moves to the next status, unless a request changed the row meanwhile.
func (s *Service) setStatus(ctx context.Context, i Instance, status string) error {
	if i.Status == status {
		return nil
	}
	_, err := s.db.Exec(ctx, `UPDATE compute_instances SET status = ?, updated_at = ? WHERE id = ? AND status = ?`,
		status, store.Now(), i.ID, i.Status)
	return err
}

func (s *Service) update(ctx context.Context, query string, args ...any) error {
	_, err := s.db.Exec(ctx, query, args...)
	return err
}

func (s *Service) recordRunning(ctx context.Context, i Instance) error {
	err := s.update(ctx, `UPDATE compute_instances
		SET state = 'running', status = 'completed', reboot = '', error_slug = '', error_message = '', updated_at = ?
		WHERE id = ? AND desired = 'running' AND reboot <> 'stop' AND (state <> 'running' OR status IN
			('provisioning', 'creating', 'starting_pending', 'starting', 'rebooting_pending', 'rebooting', 'retyping_pending', 'retyping', 'attach_nic_pending', 'detach_nic_pending'))`, store.Now(), i.ID)
	if err != nil {
		return err
	}
	s.watch(ctx, i)
	return nil
}

// recordOff records that a VM went off although nobody asked the cloud for it.
func (s *Service) recordOff(ctx context.Context, id string, exit Exit) error {
	changed, err := s.db.Exec(ctx, `UPDATE compute_instances SET state = 'stopped', desired = 'stopped', updated_at = ?
		WHERE id = ? AND desired = 'running' AND reboot = '' AND status = 'completed'`, store.Now(), id)
	if changed > 0 {
		s.Logger.Info("instance: went off by itself", "instance", id, "exit", string(exit))
	}
	return err
}

// outcomes are the error status of each operation, and where the instance then stays.
var outcomes = []struct {
	during                 []string
	status, state, desired string
	slug, message          string
}{
	{[]string{"provisioning", "creating"}, "creating_error", stateError, desiredFailed,
		"create_instance.failed", "The instance could not be created. Delete it and create another one."},
	{[]string{"starting_pending", "starting"}, "starting_error", stateStopped, desiredStopped,
		"start_instance.failed", "The instance could not be started. Try again."},
	{[]string{"stopping_pending", "stopping"}, "stopping_error", stateRunning, desiredRunning,
		"stop_instance.failed", "The instance could not be stopped. Try again."},
	{[]string{"rebooting_pending", "rebooting"}, "rebooting_error", stateStopped, desiredStopped,
		"reboot_instance.failed", "The instance could not be rebooted. Start it."},
	{[]string{"suspending_pending", "suspending"}, "suspending_error", stateRunning, desiredRunning,
		"suspend_instance.failed", "The instance could not be suspended. Try again."},
	{[]string{"retyping_pending", "retyping"}, "retyping_error", stateStopped, desiredStopped,
		"retype_instance.failed", "The instance has its new machine type and could not be started with it. Start it, or change the type again."},
	{[]string{"attach_nic_pending"}, "attaching_nic_error", stateRunning, desiredRunning,
		"attach_network_interface.failed", "The network interface could not be attached yet; it is being tried again. Detach it to give up."},
	{[]string{"detach_nic_pending"}, "detaching_nic_error", stateRunning, desiredRunning,
		"detach_network_interface.failed", "The network interface could not be detached yet; it is being tried again."},
	{[]string{statusCompleted}, "starting_error", stateStopped, desiredStopped,
		"start_instance.failed", "The instance went off and could not be started again. Start it."},
}

// giveUp ends the operation under way with its error status. Deletions are never given up.
func (s *Service) giveUp(ctx context.Context, id string, _ error) error {
	i, err := Find(ctx, s.db, id)
	if err != nil || i.Desired == desiredDeleted {
		return err
	}
	for _, o := range outcomes {
		if !slices.Contains(o.during, i.Status) {
			continue
		}
		return s.update(ctx, `UPDATE compute_instances
			SET status = ?, state = ?, desired = ?, reboot = '', error_slug = ?, error_message = ?, updated_at = ?
			WHERE id = ? AND status = ? AND desired = ?`,
			o.status, o.state, o.desired, o.slug, o.message, store.Now(), id, i.Status, i.Desired)
	}
	return nil
}
