package benchsite

import (
	"context"
	"errors"

	"magalu.cloud/mke/internal/mgc"
)

// Running waits until the cloud says that the VM runs, with a public address if it is to have one.
func (r *Region) Running(ctx context.Context, id string, public bool) (vm *mgc.Instance, err error) {
	err = Until(ctx, "VM "+id+" runs", func(ctx context.Context) (ok bool, err error) {
		if vm, err = r.Cloud.Compute.GetInstance(ctx, id); err != nil {
			return false, err
		}
		nic := vm.PrimaryInterface()
		return vm.State == mgc.InstanceRunning && nic != nil && (!public || nic.AssociatedPublicIPv4 != ""), nil
	})
	return vm, err
}

// RemoveInstances deletes VMs and waits until they are gone.
func (r *Region) RemoveInstances(ctx context.Context, ids []string) error {
	var errs []error
	for _, id := range ids {
		if err := r.Cloud.Compute.DeleteInstance(ctx, id); err != nil && !mgc.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	for _, id := range ids {
		errs = append(errs, Until(ctx, "VM "+id+" is gone", func(ctx context.Context) (bool, error) {
			_, err := r.Cloud.Compute.GetInstance(ctx, id)
			return mgc.IsNotFound(err), err
		}))
	}
	return errors.Join(errs...)
}
