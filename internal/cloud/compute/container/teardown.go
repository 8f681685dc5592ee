package container

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Teardown removes every VM that is found on the machine, whether it is recorded or not, and the cgroup above them.
func (d *Driver) Teardown(ctx context.Context) error {
	ids, err := d.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range ids {
		if err := d.Delete(ctx, id); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove VM %s: %w", id, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, d.removeCgroups(ctx, ""), os.RemoveAll(d.runcRoot()))
	}
	return errors.Join(errs...)
}
